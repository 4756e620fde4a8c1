//! Problems of sizes, ranges, and combinations of settings.

use insta::assert_snapshot;

use super::*;

#[test]
fn empty_axes() {
    assert_snapshot!(
        digits("\n[split]\nparts = []\n\n[[fusion]]\nmethod = \"ensemble\"\nhead-weights = []\n"),
        @r#"
        error: the axis `split.parts` is empty
          --> m.toml:7:9
           |
         7 | parts = []
           |         ^^

        hint: give at least one value, or leave the key out for its default

        error: the axis `fusion.0.head-weights` is empty
          --> m.toml:11:16
            |
         11 | head-weights = []
            |                ^^

        hint: give at least one value, or leave the key out for its default
        "#
    );
}

#[test]
fn empty_and_repeated_seeds() {
    assert_snapshot!(
        report("name = \"t\"\nseeds = []\nmethod-seeds = [1, 2, 1]\n\n[dataset]\nname = \"digits\"\n"),
        @r#"
        error: `seeds` is empty
          --> m.toml:2:9
           |
         2 | seeds = []
           |         ^^

        hint: give at least one seed

        error: seed 1 stands twice in `method-seeds`
          --> m.toml:3:23
           |
         3 | method-seeds = [1, 2, 1]
           |                       ^
        "#
    );
}

#[test]
fn negative_sizes() {
    assert_snapshot!(
        digits("\n[split]\nparts = -2\n\n[model]\nhidden = [64, -1]\n\n[fusion-set]\nsamples = -5\n"),
        @r#"
        error: `split.parts` must be a whole number, 0 or more, not -2
          --> m.toml:7:9
           |
         7 | parts = -2
           |         ^^

        error: `model.hidden.1` must be a whole number, 0 or more, not -1
          --> m.toml:10:15
            |
         10 | hidden = [64, -1]
            |               ^^

        error: `fusion-set.samples` must be a whole number, 0 or more, not -5
          --> m.toml:13:11
            |
         13 | samples = -5
            |           ^^
        "#
    );
}

#[test]
fn zero_sizes_and_ratios_out_of_range() {
    assert_snapshot!(
        digits("\n[split]\nparts = [2, 0]\nval-ratio = 1.5\n\n[model]\nhidden = [0]\n\n[base]\nepochs = 0\nbatch-size = 0\n"),
        @r#"
        error: `split.parts` must be at least 1, not 0
          --> m.toml:7:13
           |
         7 | parts = [2, 0]
           |             ^

        error: `split.val-ratio` must be between 0 and 0.9, not 1.5
          --> m.toml:8:13
           |
         8 | val-ratio = 1.5
           |             ^^^

        error: `model.hidden.0` must be between 1 and 1000000, not 0
          --> m.toml:11:11
            |
         11 | hidden = [0]
            |           ^

        error: `base.epochs` must be between 1 and 10000000, not 0
          --> m.toml:14:10
            |
         14 | epochs = 0
            |          ^

        error: `base.batch-size` must be at least 1, not 0
          --> m.toml:15:14
            |
         15 | batch-size = 0
            |              ^
        "#
    );
}

#[test]
fn not_a_number() {
    assert_snapshot!(digits("\n[base]\noptimizer = { lr = nan, weight-decay = -inf }\n"), @r#"
    error: `base.optimizer.lr` must be a finite number
      --> m.toml:7:20
       |
     7 | optimizer = { lr = nan, weight-decay = -inf }
       |                    ^^^

    error: `base.optimizer.weight-decay` must be a finite number
      --> m.toml:7:40
       |
     7 | optimizer = { lr = nan, weight-decay = -inf }
       |                                        ^^^^
    "#);
}

#[test]
fn more_parts_than_samples() {
    assert_snapshot!(digits("\n[split]\nkind = \"random\"\nparts = [2, 5000]\n"), @r#"
    error: cannot split the training set: 5000 parts, but only 1438 samples
      --> m.toml:8:13
       |
     8 | parts = [2, 5000]
       |             ^^^^
    "#);
}

#[test]
fn more_parts_than_classes() {
    assert_snapshot!(digits("\n[split]\nkind = \"sharded\"\nparts = 11\n"), @r#"
    error: cannot split the training set: 11 parts, but only 10 classes to share out
      --> m.toml:8:9
       |
     8 | parts = 11
       |         ^^
    "#);
}

#[test]
fn class_lists_that_do_not_fit() {
    assert_snapshot!(digits("\n[split]\nkind = \"classes\"\nparts = 2\nclasses = [[0, 1, 2], [3, 4]]\n"), @r#"
    error: cannot split the training set: class 5 is in no class list
      --> m.toml:9:11
       |
     9 | classes = [[0, 1, 2], [3, 4]]
       |           ^^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn fusion_sets_that_cannot_be() {
    let fusion = "\n[[fusion]]\nmethod = \"hf-linear\"\n";
    assert_snapshot!(digits(&format!("\n[fusion-set]\nsamples = 5000\n{fusion}")), @r#"
    error: `fusion-set.samples` is 5000, but `digits` has only 1438 training images
      --> m.toml:7:11
       |
     7 | samples = 5000
       |           ^^^^
    "#);
    assert_snapshot!(digits(&format!("\n[fusion-set]\nindices = [0, 7, 1438]\n{fusion}")), @r#"
    error: `fusion-set.indices` has 1438, but `digits` has 1438 training images
      --> m.toml:7:11
       |
     7 | indices = [0, 7, 1438]
       |           ^^^^^^^^^^^^
    "#);
    assert_snapshot!(digits(&format!("\n[fusion-set]\nindices = []\n{fusion}")), @r#"
    error: `fusion-set.indices` is empty
      --> m.toml:7:11
       |
     7 | indices = []
       |           ^^

    hint: name at least one sample, or leave the key out for a sample of `fusion-set.samples`
    "#);
    assert_snapshot!(digits(&format!("\n[fusion-set]\nindices = [1]\nfile = \"f\"\n{fusion}")), @r#"
    error: `fusion-set` has both `file` and `indices`
      --> m.toml:8:1
       |
     8 | file = "f"
       | ^^^^

    hint: keep one of them
    "#);
}

#[test]
fn method_for_pairs_given_four_models() {
    assert_snapshot!(digits("\n[split]\nparts = [2, 4]\n\n[[fusion]]\nmethod = \"hf-linear\"\n"), @r#"
    error: `hf-linear` fuses exactly two models, but `split.parts` is 4 here
      --> m.toml:10:10
        |
     10 | method = "hf-linear"
        |          ^^^^^^^^^^^

    hint: drop the combination with

        [[exclude]]
        parts = 4
        method = "hf-linear"
    "#);
}

#[test]
fn fusions_listed_twice() {
    assert_snapshot!(
        digits("\n[[fusion]]\nmethod = \"ensemble\"\n\n[[fusion]]\nmethod = \"ensemble\"\nhead-weights = [false, true]\nlabel = \"again\"\n"),
        @r#"
        error: `ensemble` is listed twice with the same settings
          --> m.toml:10:10
            |
         10 | method = "ensemble"
            |          ^^^^^^^^^^

        hint: drop one of the two
        "#
    );
}

#[test]
fn labels_given_twice() {
    assert_snapshot!(
        digits("\n[[fusion]]\nmethod = \"ensemble\"\nlabel = \"x\"\n\n[[fusion]]\nmethod = \"vanilla-averaging\"\nlabel = \"x\"\n"),
        @r#"
        error: two fusions have the label `x`
          --> m.toml:12:9
            |
         12 | label = "x"
            |         ^^^

        hint: labels name rows: make them differ
        "#
    );
}

#[test]
fn layer_wise_method_on_a_transformer() {
    let text = "\n[model]\narchitecture = [\"mlp\", \"vit\"]\n\n[[fusion]]\nmethod = \"hf-linear\"\n";
    assert_snapshot!(digits(text), @r#"
    error: `hf-linear` works on chains of linear maps and convolutions, which the network is not (`model.architecture` is "vit")
      --> m.toml:10:10
        |
     10 | method = "hf-linear"
        |          ^^^^^^^^^^^

    hint: `kf-gradient` fuses any network; or drop the combination with

        [[exclude]]
        architecture = "vit"
        method = "hf-linear"
    "#);
}

#[test]
fn lists_by_level_of_another_length() {
    let text = "\n[[fusion]]\nmethod = \"kf-gradient\"\nperturbations = [0.1, 0.2, 0.3]\n\n\
                [[fusion]]\nmethod = \"kf-gradient\"\nlevels = [{ epochs = 3 }]\n\n\
                [[fusion]]\nmethod = \"kf-gradient\"\nskip-levels = [0, 7]\n";
    assert_snapshot!(digits(text), @r#"
    error: `perturbations` has 3 entries, but the network has 2 levels (`model.architecture` is "mlp")
      --> m.toml:8:17
       |
     8 | perturbations = [0.1, 0.2, 0.3]
       |                 ^^^^^^^^^^^^^^^

    error: `levels` has 1 entries, but the network has 2 levels (`model.architecture` is "mlp")
      --> m.toml:12:10
        |
     12 | levels = [{ epochs = 3 }]
        |          ^^^^^^^^^^^^^^^^

    error: `skip-levels` has 7, but the network's levels are 0 to 1 (`model.architecture` is "mlp")
      --> m.toml:16:15
        |
     16 | skip-levels = [0, 7]
        |               ^^^^^^
    "#);
}

#[test]
fn parts_without_samples_are_found_before_anything_runs() {
    let empty = digits("[split]\nkind = \"non-iid\"\nparts = 400\n");
    assert!(empty.contains("part "), "{empty}");
    assert!(empty.contains(" of 400 gets no sample, with seed 1"), "{empty}");
    assert!(empty.contains("m.toml:7:9"), "{empty}");
    let held_out = digits("[split]\nkind = \"stratified\"\nparts = 1400\nval-ratio = 0.5\n");
    assert!(
        held_out.contains("1 of 1 samples would leave none to train on, in part "),
        "{held_out}"
    );
    assert!(held_out.contains("m.toml:8:13"), "{held_out}");
}
