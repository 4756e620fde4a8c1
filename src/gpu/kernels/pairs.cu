// Costs of pairs of neurons and steps of k-means, from inner products. One thread per result, sums in ascending order.

__device__ double positive(double x) { return x > 0.0 ? x : 0.0; }

// |a_i - b_j|^2 of columns a [m, n], b [m, k] from products = a^T b and the squares of their norms; `unit` scales each
// column to norm 1.
extern "C" __global__ void distances(const double *products, const double *a, const double *b, double *y, u32 n, u32 k,
                                     u32 unit) {
    EACH(at, n * k)
    const double square_a = a[at / k], square_b = b[at % k];
    const double smallest = 2.2250738585072014e-308;
    double scale_a = 1.0, scale_b = 1.0;
    if (unit) {
        const double norm_a = sqrt(square_a), norm_b = sqrt(square_b);
        scale_a = 1.0 / (norm_a > smallest ? norm_a : smallest);
        scale_b = 1.0 / (norm_b > smallest ? norm_b : smallest);
    }
    y[at] = positive(square_a * scale_a * scale_a + square_b * scale_b * scale_b -
                     2.0 * products[at] * scale_a * scale_b);
}

// HF linear's cost of every pair of the first n and the last n of 2 n neurons, from the Gram matrix of their projections,
// the squared norms of what lies outside, and their scores.
extern "C" __global__ void pair_costs(const double *gram, const double *outside, const double *scores, double *y,
                                      u32 n) {
    EACH(at, n * n)
    const u32 i = at / n, j = n + at % n, all = 2 * n;
    const double distance = positive(gram[i * all + i] - 2.0 * gram[i * all + j] + gram[j * all + j]);
    const double si = scores[i], sj = scores[j];
    const double toward_1 = sj / (si + sj), toward_0 = si / (si + sj);
    y[at] = si * sqrt(toward_1 * toward_1 * distance + outside[i]) +
            sj * sqrt(toward_0 * toward_0 * distance + outside[j]);
}

// inner[c, i] = sum over members j of cluster c, ascending, of share_j gram[j, i].
extern "C" __global__ void centroid_products(const double *gram, const u32 *clusters, const double *shares, double *y,
                                             u32 n, u32 k) {
    EACH(at, k * n)
    const u32 c = at / n, i = at % n;
    double sum = 0.0;
    for (u32 j = 0; j < n; j++)
        if (clusters[j] == c) sum += shares[j] * gram[j * n + i];
    y[at] = sum;
}

// square[c] = sum over members j, ascending, of share_j inner[c, j]; infinite for a cluster without members.
extern "C" __global__ void centroid_squares(const double *inner, const u32 *clusters, const double *shares, double *y,
                                            u32 n, u32 k) {
    EACH(c, k)
    double sum = 0.0;
    bool none = true;
    for (u32 j = 0; j < n; j++)
        if (clusters[j] == c) {
            sum += shares[j] * inner[c * n + j];
            none = false;
        }
    y[c] = none ? 1e300 * 1e300 : sum;
}

// The nearest centroid of each point, the first of equals, and the distance (not squared) to it.
extern "C" __global__ void nearest(const double *gram, const double *outside, const double *inner,
                                   const double *squares, u32 *cluster, double *distance, u32 n, u32 k) {
    EACH(i, n)
    const double own = gram[i * n + i];
    double best = 0.0;
    u32 at = 0;
    for (u32 c = 0; c < k; c++) {
        const double squared = outside[i] + positive(own - 2.0 * inner[c * n + i] + squares[c]);
        if (c == 0 || squared < best) {
            best = squared;
            at = c;
        }
    }
    cluster[i] = at;
    distance[i] = sqrt(best);
}
