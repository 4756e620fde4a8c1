#!/usr/bin/env bash
# Regenerates docs/manifest.md, docs/manifest.schema.json, docs/pictures/, and the blocks between `<!-- begin: NAME -->` and
# `<!-- end: NAME -->` in README.md and docs/. CI runs it and compares.
#
#   bash scripts/docs.sh          everything but the quickstart's output and docs/page.png
#   bash scripts/docs.sh --run    these two as well; docs/page.png requires Chromium
#
# BIN names a built program. Without it, `cargo run` may build again what `cargo test` built with other features.
set -euo pipefail
cd "$(dirname "$0")/.."

# Help shows the values of these variables, and wraps at the terminal's width.
for variable in $(compgen -e RUNNER_ || true); do unset "$variable"; done
export COLUMNS=100 NO_COLOR=1
runner() { "${program[@]}" "$@" </dev/null; }
program=(cargo run --quiet --)
[ -z "${BIN:-}" ] || program=("$BIN")

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Replaces the block $1 of README.md, or of the file $2, by standard input.
block() {
    local content="$scratch/block" changed="$scratch/changed" file="${2:-README.md}"
    cat >"$content"
    awk -v name="$1" -v content="$content" '
        $0 == "<!-- begin: " name " -->" { print; while ((getline line < content) > 0) print line; inside = 1; found++; next }
        $0 == "<!-- end: " name " -->" { inside = 0; found++ }
        !inside { print }
        END { if (found != 2) exit 1 }
    ' "$file" >"$changed" || { echo "$file lacks the block \`$1\`" >&2; exit 1; }
    cat "$changed" >"$file"
}

fenced() { echo "\`\`\`$1"; cat; echo '```'; }

mkdir -p docs
runner schema >docs/manifest.schema.json
runner schema --markdown >docs/manifest.md

# The help of every command, in the order of `runner -h`.
{
    runner -h 2>/dev/null | fenced text
    for command in $(runner -h 2>/dev/null | awk '/^Commands:/ { inside = 1; next } /^$/ { inside = 0 } inside { print $1 }'); do
        [ "$command" != help ] || continue
        printf '\n### `runner %s`\n\n' "$command"
        runner "$command" -h 2>/dev/null | fenced text
    done
} | block commands docs/commands.md
awk '/^## / { inside = $0 == "## Fusion methods" } inside && /^\|/' docs/manifest.md | block methods
grep -v '^#' experiments/quickstart.toml | fenced toml | block quickstart-manifest docs/guide.md
block vgg-table <results/cifar10-vgg11half-reference/tables/methods-by-split-accuracy.md
block mnist-table docs/reference.md <results/mnist-mlp-reference/tables/methods-by-split-accuracy.md

# From the committed results alone.
tables=docs/reports/tables.md
runner table mnist-mlp-reference --template kf-gradient-only --metric accuracy | block kf-table $tables
runner table cifar10-vgg11half-reference --metric accuracy --baseline kf-gradient/uniform |
    block baseline-table $tables
runner table mnist-mlp-reference --metric accuracy --columns normalised_accuracy,fuse_seconds,peak_memory,samples |
    block cost-table $tables
runner table mnist-mlp-reference --template kf-gradient-only --metric accuracy --format macros | grep -F 'KFGradientUniform' |
    fenced latex | block macros $tables
runner table mnist-mlp-full-small --template full-data --metric accuracy | block full-table $tables
runner table ablation-widths-small --template ablation --metric accuracy | block ablation-table $tables
studies=results/studies
rm -rf docs/pictures
mkdir docs/pictures
drawn="$scratch/pictures"
runner plot mnist-mlp-reference --format svg --out "$drawn" >/dev/null
runner plot ablation-layers-small --figure ablation --format svg --out "$drawn" >/dev/null
runner plot mnist-mlp-non-iid-small --figure training --format svg --out "$drawn/small" >/dev/null
mv "$drawn/small/training-base.svg" "$drawn"
for study in interpolation neurons; do
    runner plot "$studies/$study.json" --format svg --out "$drawn" >/dev/null
done
for picture in bars-2-models models-accuracy confusion-2-models classes-4-models training-fusion-4-models training-base \
    ablation-accuracy interpolation neurons; do
    cp "$drawn/$picture.svg" docs/pictures/
done

if [ "${1:-}" = --run ]; then
    [ -n "${BIN:-}" ] || program=(cargo run --quiet --release --)
    # CI does not compare the picture: no two browsers draw the same pixels.
    runner report mnist-mlp-reference --out "$scratch/report.html" >/dev/null
    chromium --headless=new --no-sandbox --disable-gpu --disable-background-networking --no-first-run --hide-scrollbars \
        --user-data-dir="$scratch/profile" --window-size=1100,1000 --screenshot=docs/page.png \
        "file://$scratch/report.html" 2>/dev/null
    # The first table alone.
    { runner --results "$scratch/results" exec experiments/quickstart.toml 2>"$scratch/log" |
        awk '/^\*\*/ && tables++ == 1 { print "..." } tables < 2'
      grep '^quickstart:' "$scratch/log" | sed "s|$scratch/||"; } | fenced text | block quickstart-output
fi
