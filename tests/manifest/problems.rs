//! Problems of the text itself.

use insta::assert_snapshot;

use super::*;

#[test]
fn unknown_key_at_the_top() {
    assert_snapshot!(report("name = \"t\"\nsede = [1]\n\n[dataset]\nname = \"digits\"\n"), @r#"
    error: unknown key `sede`
      --> m.toml:2:1
       |
     2 | sede = [1]
       | ^^^^

    hint: did you mean `seeds`?
    "#);
}

#[test]
fn unknown_section() {
    assert_snapshot!(digits("\n[trainig]\nepochs = 3\n"), @r#"
    error: unknown key `trainig`
      --> m.toml:6:2
       |
     6 | [trainig]
       |  ^^^^^^^

    hint: one of `name`, `description`, `extends`, `unset`, `seeds`, `method-seeds`, `dataset`, `split`, `model-set`, `model`, `other-models`, `base`, `fusion-set`, `fusion`, `finetune`, `adjust`, `include`, `exclude`, `resources`, `slurm`, `notify`, `report`
    "#);
}

#[test]
fn unknown_key_in_a_section_and_deeper() {
    assert_snapshot!(digits("\n[base]\nepoch = 3\noptimizer = { name = \"adam\", rate = 0.1 }\n"), @r#"
    error: unknown key `epoch`
      --> m.toml:7:1
       |
     7 | epoch = 3
       | ^^^^^

    hint: did you mean `epochs`?

    error: unknown key `rate`
      --> m.toml:8:30
       |
     8 | optimizer = { name = "adam", rate = 0.1 }
       |                              ^^^^

    hint: one of `name`, `lr`, `weight-decay`, `momentum`, `nesterov`
    "#);
}

#[test]
fn unknown_key_of_a_method() {
    assert_snapshot!(digits("\n[[fusion]]\nmethod = \"ensemble\"\nhead-weight = true\n"), @r#"
    error: unknown key `head-weight`
      --> m.toml:8:1
       |
     8 | head-weight = true
       | ^^^^^^^^^^^

    hint: did you mean `head-weights`?
    "#);
}

#[test]
fn unknown_key_of_a_selector() {
    assert_snapshot!(digits("\n[[fusion]]\nmethod = \"ensemble\"\n\n[[exclude]]\npart = 2\n"), @r#"
    error: unknown key `part`
      --> m.toml:10:1
        |
     10 | part = 2
        | ^^^^

    hint: did you mean `parts`?
    "#);
}

#[test]
fn wrong_types() {
    assert_snapshot!(
        digits("\n[split]\nparts = \"two\"\n\n[base]\nepochs = 2.5\noptimizer = 3\n\n[model]\nbias = \"yes\"\n"),
        @r#"
        error: `split.parts` must be a whole number, 0 or more, not "two"
          --> m.toml:7:9
           |
         7 | parts = "two"
           |         ^^^^^

        error: `base.epochs` must be a whole number, 0 or more, not 2.5
          --> m.toml:10:10
            |
         10 | epochs = 2.5
            |          ^^^

        error: `base.optimizer` must be a table, not 3
          --> m.toml:11:13
            |
         11 | optimizer = 3
            |             ^

        error: `model.bias` must be true or false, not "yes"
          --> m.toml:14:8
            |
         14 | bias = "yes"
            |        ^^^^^
        "#
    );
}

#[test]
fn wrong_type_of_a_name() {
    assert_snapshot!(report("name = 3\n\n[dataset]\nname = 4\n"), @r#"
    error: `name` must be text, not a number
      --> m.toml:1:8
       |
     1 | name = 3
       |        ^

    hint: text stands in quotes: `name = "3"`

    error: `dataset.name` must be text, not 4
      --> m.toml:4:8
       |
     4 | name = 4
       |        ^

    hint: text stands in quotes: `name = "4"`
    "#);
}

#[test]
fn section_that_is_a_value() {
    assert_snapshot!(report("name = \"t\"\nsplit = 3\n\n[dataset]\nname = \"digits\"\n"), @r#"
    error: `split` must be a table, `[split]`
      --> m.toml:2:1
       |
     2 | split = 3
       | ^^^^^
    "#);
}

#[test]
fn fusion_that_is_a_table() {
    assert_snapshot!(digits("\n[fusion]\nmethod = \"ensemble\"\n"), @r#"
    error: `fusion` must be a list of tables, each headed `[[fusion]]`
      --> m.toml:6:2
       |
     6 | [fusion]
       |  ^^^^^^
    "#);
}

#[test]
fn fusion_without_a_method() {
    assert_snapshot!(digits("\n[[fusion]]\nlabel = \"x\"\n"), @r#"
    error: this `[[fusion]]` lacks the key `method`
      --> m.toml:6:1
       |
     6 | [[fusion]]
       | ^^^^^^^^^^

    hint: one of `vanilla-averaging`, `ensemble`, `logit-kd`, `hf-linear`, `kf-linear`, `kf-gradient`, `otfusion`, `git-rebasin`
    "#);
}

#[test]
fn unknown_method() {
    assert_snapshot!(digits("\n[[fusion]]\nmethod = \"vanila-averaging\"\n"), @r#"
    error: unknown method `vanila-averaging`
      --> m.toml:7:10
       |
     7 | method = "vanila-averaging"
       |          ^^^^^^^^^^^^^^^^^^

    hint: did you mean `vanilla-averaging`?
    "#);
}

#[test]
fn unknown_data_set() {
    assert_snapshot!(report("name = \"t\"\n[dataset]\nname = \"digit\"\n"), @r#"
    error: unknown data set `digit`
      --> m.toml:3:8
       |
     3 | name = "digit"
       |        ^^^^^^^

    hint: did you mean `digits`?
    "#);
}

#[test]
fn unknown_data_set_in_a_list() {
    assert_snapshot!(report("name = \"t\"\n[dataset]\nname = [\"digits\", \"mnits\"]\n"), @r#"
    error: unknown data set `mnits`
      --> m.toml:3:19
       |
     3 | name = ["digits", "mnits"]
       |                   ^^^^^^^

    hint: did you mean `mnist`?
    "#);
}

#[test]
fn unknown_architecture() {
    assert_snapshot!(digits("\n[model]\narchitecture = \"mpl\"\n"), @r#"
    error: unknown architecture `mpl`
      --> m.toml:7:16
       |
     7 | architecture = "mpl"
       |                ^^^^^

    hint: did you mean `mlp`?
    "#);
}

#[test]
fn unknown_value_in_an_axis_is_marked_itself() {
    assert_snapshot!(digits("\n[split]\nkind = [\"full\", \"non-idd\"]\n"), @r#"
    error: unknown value `non-idd` for `split.kind`
      --> m.toml:7:17
       |
     7 | kind = ["full", "non-idd"]
       |                 ^^^^^^^^^

    hint: did you mean `non-iid`?
    "#);
}

#[test]
fn everything_excluded() {
    assert_snapshot!(digits("\n[[exclude]]\nparts = 2\n"), @"error: nothing is left to do: `[[exclude]]` drops every combination");
}

#[test]
fn empty_selector_and_timeout_that_is_none() {
    assert_snapshot!(digits("\n[[exclude]]\n\n[resources]\ntimeout = \"soon\"\n"), @r#"
    error: `exclude` is empty
      --> m.toml:6:1
       |
     6 | [[exclude]]
       | ^^^^^^^^^^^

    hint: name what it is about, for example `parts = 4` and `method = "hf-linear"`

    error: `resources.timeout` is not a duration: expected number at 0
      --> m.toml:9:11
       |
     9 | timeout = "soon"
       |           ^^^^^^

    hint: for example `timeout = "30m"` or `"1h 30m"`
    "#);
}

#[test]
fn resources_that_are_none() {
    assert_snapshot!(digits("\n[resources]\ncores = 0\ngpus = 1.5\n"), @r"
    error: `resources.cores` must be between 1 and 4096, not 0
      --> m.toml:7:9
       |
     7 | cores = 0
       |         ^

    error: `resources.gpus` must be between 0 and 1, not 1.5
      --> m.toml:8:8
       |
     8 | gpus = 1.5
       |        ^^^
    ");
    assert_snapshot!(digits("\n[resources]\nmemory = \"4 gigs\"\n"), @r#"
    error: `resources.memory` is not an amount of memory
      --> m.toml:7:10
       |
     7 | memory = "4 gigs"
       |          ^^^^^^^^

    hint: a number and one of K, M, G, T: for example `memory = "4G"` or `"512M"`
    "#);
}

#[test]
fn more_combinations_than_can_be_meant() {
    let list = |n: usize| format!("{:?}", (1..=n).collect::<Vec<_>>());
    let text = format!(
        "\n[base]\nepochs = {}\nbatch-size = {}\nwarmup-epochs = {}\n",
        list(100),
        list(100),
        list(100)
    );
    assert_snapshot!(digits(&text), @r#"
    error: the manifest makes 2000000 jobs, and 1000000 is the limit: 100 batch-size x 100 epochs x 100 warmup-epochs x 2 models
      --> m.toml:9:1
       |
     9 | warmup-epochs = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,  ...
       | ^^^^^^^^^^^^^

    hint: give fewer values, divide it into several manifests, or list single combinations as `[[include]]`
    "#);
}

#[test]
fn syntax() {
    assert_snapshot!(digits("\n[split\nparts = 2\n"), @r#"
    error: this is not valid TOML: unclosed table, expected `]`
      --> m.toml:6:7
       |
     6 | [split
       |       ^
    "#);
    assert_snapshot!(digits("\n[split]\nparts = 2\nparts = 3\n"), @r#"
    error: this is not valid TOML: duplicate key
      --> m.toml:8:1
       |
     8 | parts = 3
       | ^^^^^
    "#);
}

#[test]
fn nothing_there() {
    assert_snapshot!(report(""), @r#"
    error: `m.toml` lacks the key `name`

    hint: for example `name = "mnist-non-iid"`; results are written to `results/<name>/`

    error: `m.toml` lacks the section `[dataset]`

    hint: for example `[dataset]` with `name = "digits"`
    "#);
    let folder = tempfile::tempdir().expect("temporary folder");
    assert_snapshot!(report_in(folder.path(), Vec::new(), None), @r#"
    error: cannot read the manifest `m.toml`: No such file or directory (os error 2)

    hint: `experiments/` holds the manifests that come with the project
    "#);
}

#[test]
fn name_that_is_no_folder() {
    assert_snapshot!(report("name = \"../x\"\n[dataset]\nname = \"digits\"\n"), @r#"
    error: `name` must be made of letters, digits, `-`, `_` and `.`, and begin with a letter or digit
      --> m.toml:1:8
       |
     1 | name = "../x"
       |        ^^^^^^

    hint: for example `name = "mnist-non-iid"`; results are written to `results/<name>/`
    "#);
}

#[test]
fn tabs_and_wide_characters_do_not_shift_the_mark() {
    assert_snapshot!(digits("\n[base]\n\toptimizer = { name = \"ädam\" }\n"), @r#"
    error: unknown value `ädam` for `base.optimizer.name`
      --> m.toml:7:23
       |
     7 | 	optimizer = { name = "ädam" }
       | 	                     ^^^^^^

    hint: did you mean `adam`?
    "#);
}

#[test]
fn all_problems_in_one_report_in_the_order_of_the_text() {
    assert_snapshot!(
        report(concat!(
            "seeds = [1, -1]\n",
            "[dataset]\nname = \"mnist\"\n",
            "[split]\nkind = \"sharded\"\nparts = [2, 11]\n",
            "[base]\nepohcs = 3\nmodels = \"nowhere/{parts}-{seed}-*.pt\"\n",
            "[[fusion]]\nmethod = \"hf-lineal\"\n",
            "[[fusion]]\nmethod = \"hf-linear\"\nimportance = \"unifrom\"\n",
        )),
        @r#"
        error: `m.toml` lacks the key `name`

        hint: for example `name = "mnist-non-iid"`; results are written to `results/<name>/`

        error: `seeds` must be a list of whole numbers, 0 or more
          --> m.toml:1:9
           |
         1 | seeds = [1, -1]
           |         ^^^^^^^

        hint: for example `seeds = [1, 2, 3]`

        error: cannot split the training set: 11 parts, but only 10 classes to share out
          --> m.toml:6:13
           |
         6 | parts = [2, 11]
           |             ^^

        error: unknown key `epohcs`
          --> m.toml:8:1
           |
         8 | epohcs = 3
           | ^^^^^^

        hint: did you mean `epochs`?

        error: unknown method `hf-lineal`
          --> m.toml:11:10
            |
         11 | method = "hf-lineal"
            |          ^^^^^^^^^^^

        hint: did you mean `hf-linear`?

        error: unknown value `unifrom` for `fusion.1.importance`
          --> m.toml:14:14
            |
         14 | importance = "unifrom"
            |              ^^^^^^^^^

        hint: did you mean `uniform`?
        "#
    );
}

#[test]
fn values_of_selectors_that_no_combination_has() {
    assert_snapshot!(
        digits("\n[[fusion]]\nmethod = \"hf-linear\"\n\n[[exclude]]\nmethod = \"hf-liner\"\nparts = \"four\"\n\n[[exclude]]\nkind = [\"full\", \"stratifyed\"]\nimportance = \"condutance\"\n"),
        @r#"
    error: unknown value `hf-liner` for `method`
      --> m.toml:10:10
        |
     10 | method = "hf-liner"
        |          ^^^^^^^^^^

    hint: did you mean `hf-linear`?

    error: `parts` is a number, not text
      --> m.toml:11:9
        |
     11 | parts = "four"
        |         ^^^^^^

    error: unknown value `stratifyed` for `kind`
      --> m.toml:14:17
        |
     14 | kind = ["full", "stratifyed"]
        |                 ^^^^^^^^^^^^

    hint: did you mean `stratified`?

    error: unknown value `condutance` for `importance`
      --> m.toml:15:14
        |
     15 | importance = "condutance"
        |              ^^^^^^^^^^^^

    hint: did you mean `conductance`?
    "#
    );
}

#[test]
fn parameters_that_do_nothing_or_name_what_is_not_there_are_refused_together() {
    assert_snapshot!(digits("[split]\nparts = 2\n[[fusion]]\nmethod = \"otfusion\"\nground = \"weights\"\nnorm-acts = true\nalign-to = 2\n[[fusion]]\nmethod = \"hf-linear\"\ncutoff = 1.0\n[[fusion]]\nmethod = \"kf-gradient\"\nstart-model = 4\nkd-temperature = 2.0\nskip-levels = [0, 7]\nreset-levels = [0]\nperturbation = 0.5\nperturbations = [0.1]\n"), @r#"
    error: `norm-acts` does nothing with `ground = "weights"`
      --> m.toml:10:13
        |
     10 | norm-acts = true
        |             ^^^^

    error: `align-to` is 2, but the models are 0 to 1 here
      --> m.toml:11:12
        |
     11 | align-to = 2
        |            ^

    error: `cutoff` must be below 1: no singular value is above the largest
      --> m.toml:14:10
        |
     14 | cutoff = 1.0
        |          ^^^

    error: `start-model` is 4, but the models are 0 to 1 here
      --> m.toml:17:15
        |
     17 | start-model = 4
        |               ^

    error: `kd-temperature` does nothing without `kd-on-head`
      --> m.toml:18:18
        |
     18 | kd-temperature = 2.0
        |                  ^^^

    error: `skip-levels` has 7, but the network's levels are 0 to 1 (`model.architecture` is "mlp")
      --> m.toml:19:15
        |
     19 | skip-levels = [0, 7]
        |               ^^^^^^

    error: `reset-levels` has 0, which `skip-levels` leaves out
      --> m.toml:20:16
        |
     20 | reset-levels = [0]
        |                ^^^

    error: `perturbation` does nothing beside a list with an entry for each level
      --> m.toml:21:16
        |
     21 | perturbation = 0.5
        |                ^^^

    error: `perturbations` has 1 entries, but the network has 2 levels (`model.architecture` is "mlp")
      --> m.toml:22:17
        |
     22 | perturbations = [0.1]
        |                 ^^^^^
    "#);
}
