//! Layout and formats.

use super::*;
use runner::report::{to_csv, to_json};

#[test]
fn markdown() {
    insta::assert_snapshot!(render(Format::Markdown, &table(Metric::Accuracy)), @r"
    **quick\_start**: test accuracy (%) on digits, mean (±standard deviation) over 2 to 3 runs

    | Method                  | Importance |          2 models |          4 models |
    | ----------------------- | ---------- | ----------------: | ----------------: |
    | Model 0                 | --         |     88.33 (±1.53) |     88.33 (±1.53) |
    | Model 1                 | --         |     78.33 (±1.53) |     78.33 (±1.53) |
    | Model 2                 | --         |                   |     68.33 (±1.53) |
    | Model 3                 | --         |                   |     58.33 (±1.53) |
    | Vanilla averaging       | --         |   _80.33 (±1.53)_ |   _80.33 (±1.53)_ |
    | Ensemble                | --         |     96.33 (±1.53) |     96.33 (±1.53) |
    | Ensemble, head-weighted | --         |     97.03 (±1.53) |     97.03 (±1.53) |
    | HF linear               | Uniform    | **92.33 (±1.53)** |               N/A |
    | KF gradient             | Uniform    | **93.33 (±1.53)** |                -- |
    | KF gradient             | DeepLIFT   | **93.33 (±1.53)** | **92.50 (±0.71)** |
    ");
    insta::assert_snapshot!(table(Metric::Accuracy).warnings.join("\n"), @"
    KF gradient, Uniform, 4 models: 0 of 3 results (3 skipped)
    KF gradient, DeepLIFT, 4 models: 2 of 3 results (1 failed)
    ");
}

#[test]
fn latex() {
    insta::assert_snapshot!(render(Format::Latex, &table(Metric::Loss)), @r"
    % Made by: runner table quick_start --template methods-by-split --metric loss --format latex
    % Needs \usepackage{booktabs,adjustbox}. To change the layout, change a copy of the template, not this file.
    \begin{table}
      \centering
      \setlength{\belowcaptionskip}{6pt}
      \caption{Test loss of quick\_start on digits, mean $\pm$ standard deviation over 2 to 3 runs. Bold: the best fused networks of a column, up to one standard error; underlined: the second best.}
      \label{tab:quick_start-methods-by-split-loss}
      % No wider than the text.
      \begin{adjustbox}{max width=\linewidth}
      \begin{tabular}{llrr}
        \toprule
        Method & Importance & 2 models & 4 models \\
        \midrule
        Individual models & -- & \begin{tabular}[t]{@{}r@{}}$0.1167 \pm 0.0153$ \\ $0.2167 \pm 0.0153$\end{tabular} & \begin{tabular}[t]{@{}r@{}}$0.1167 \pm 0.0153$ \\ $0.2167 \pm 0.0153$ \\ $0.3167 \pm 0.0153$ \\ $0.4167 \pm 0.0153$\end{tabular} \\
        \midrule
        Vanilla averaging & -- & $\underline{0.1967} \pm 0.0153$ & $\underline{0.1967} \pm 0.0153$ \\
        Ensemble & -- & $0.0367 \pm 0.0153$ & $0.0367 \pm 0.0153$ \\
        Ensemble, head-weighted & -- & $0.0297 \pm 0.0153$ & $0.0297 \pm 0.0153$ \\
        HF linear & Uniform & $\mathbf{0.0767} \pm 0.0153$ & N/A \\
        KF gradient & Uniform & $\mathbf{0.0667} \pm 0.0153$ & -- \\
        KF gradient & DeepLIFT & $\mathbf{0.0667} \pm 0.0153$ & $\mathbf{0.0750} \pm 0.0071$ \\
        \bottomrule
      \end{tabular}
      \end{adjustbox}
    \end{table}
    ");
}

#[test]
fn csv_and_json() {
    let json: Value = serde_json::from_str(&to_json(&table(Metric::Loss)).expect("JSON")).expect("JSON");
    assert_eq!(json["rows"][2]["cells"][0], json!({"state": "empty"}));
    assert_eq!(json["metric"], json!("loss"));
    let csv = to_csv(&[table(Metric::F1Macro)], false);
    insta::assert_snapshot!(csv.replace('\r', "").lines().take(9).collect::<Vec<_>>().join("\n"), @"
    section,row,importance,column,state,metric,mean,std,n,best,second,p
    base,Model 0,,2 models,value,f1_macro,0.873333333,0.0152752523,3,false,false,
    base,Model 0,,4 models,value,f1_macro,0.873333333,0.0152752523,3,false,false,
    base,Model 1,,2 models,value,f1_macro,0.773333333,0.0152752523,3,false,false,
    base,Model 1,,4 models,value,f1_macro,0.773333333,0.0152752523,3,false,false,
    base,Model 2,,4 models,value,f1_macro,0.673333333,0.0152752523,3,false,false,
    base,Model 3,,4 models,value,f1_macro,0.573333333,0.0152752523,3,false,false,
    network,Vanilla averaging,,2 models,value,f1_macro,0.793333333,0.0152752523,3,false,true,
    network,Vanilla averaging,,4 models,value,f1_macro,0.793333333,0.0152752523,3,false,true,
    ");
}

/// Several tables are one file, whose lines say where they come from; a single run has the number of its record.
#[test]
fn csv_of_several_tables_has_one_head() {
    let once = summary(&[record(Kind::Fuse, 2, 1, "hf-linear", 0.123_456_789_012_345)]);
    let once = by_split(&once, Metric::Accuracy).expect("table");
    let csv = to_csv(&[table(Metric::Loss), once], false);
    let lines: Vec<&str> = csv.lines().collect();
    let heads = lines.iter().filter(|line| line.contains("section,row"));
    assert_eq!(heads.count(), 1);
    assert!(lines[0].starts_with("experiment,template,section,row,"), "{csv}");
    assert!(
        lines[1].starts_with("quick_start,methods-by-split,base,Model 0,"),
        "{csv}"
    );
    let last =
        "quick_start,methods-by-split,network,HF linear,,2 models,value,accuracy,0.123456789012345,,1,";
    assert!(lines.last().is_some_and(|line| line.starts_with(last)), "{csv}");
}

/// With a second axis the columns stand in groups, and a setting that varies is named in the row.
#[test]
fn column_groups_and_qualifiers() {
    let mut records = Vec::new();
    for parts in [2, 4] {
        for kind in ["non-iid", "sharded_&_{odd}"] {
            let split = |record: &mut Record| {
                record.axes.insert("split.kind".to_string(), json!(kind));
            };
            records.push(with(record(Kind::Evaluate, parts, 1, "model_0", 0.5), split));
            for lr in [0.1, 0.001] {
                let fuse = with(record(Kind::Fuse, parts, 1, "kf-linear", 0.6 + lr), split);
                records.push(with(fuse, |record| {
                    record.axes.insert("fusion.lr".to_string(), json!(lr));
                }));
            }
        }
    }
    let summary = Summary::from_records(&index(&records), &records).expect("summary");
    let table = by_split(&summary, Metric::Accuracy).expect("table");
    insta::assert_snapshot!(render(Format::Latex, &table), @r"
    % Made by: runner table quick_start --template methods-by-split --metric accuracy --format latex
    % Needs \usepackage{booktabs,adjustbox}. To change the layout, change a copy of the template, not this file.
    \begin{table}
      \centering
      \setlength{\belowcaptionskip}{6pt}
      \caption{Test accuracy (\%) of quick\_start on digits, 1 run. Bold: the best fused networks of a column, up to one standard error; underlined: the second best.}
      \label{tab:quick_start-methods-by-split-accuracy}
      % No wider than the text.
      \begin{adjustbox}{max width=\linewidth}
      \begin{tabular}{llrrrr}
        \toprule
        & & \multicolumn{2}{c}{non-iid} & \multicolumn{2}{c}{sharded\_\&\_\{odd\}} \\
        \cmidrule(lr){3-4}\cmidrule(lr){5-6}
        Method & Importance & 2 models & 4 models & 2 models & 4 models \\
        \midrule
        Individual models & -- & \begin{tabular}[t]{@{}r@{}}$50.00$\end{tabular} & \begin{tabular}[t]{@{}r@{}}$50.00$\end{tabular} & \begin{tabular}[t]{@{}r@{}}$50.00$\end{tabular} & \begin{tabular}[t]{@{}r@{}}$50.00$\end{tabular} \\
        \midrule
        KF linear, lr 0.1 & -- & $\mathbf{70.00}$ & $\mathbf{70.00}$ & $\mathbf{70.00}$ & $\mathbf{70.00}$ \\
        KF linear, lr 0.001 & -- & $\underline{60.10}$ & $\underline{60.10}$ & $\underline{60.10}$ & $\underline{60.10}$ \\
        \bottomrule
      \end{tabular}
      \end{adjustbox}
    \end{table}
    ");
    let markdown = render(Format::Markdown, &table);
    insta::assert_snapshot!(markdown, @r"
    **quick\_start**: test accuracy (%) on digits, 1 run

    | Method              | Importance | non-iid, 2 models | non-iid, 4 models | sharded\_\&\_\{odd\}, 2 models | sharded\_\&\_\{odd\}, 4 models |
    | ------------------- | ---------- | ----------------: | ----------------: | -----------------------------: | -----------------------------: |
    | Model 0             | --         |             50.00 |             50.00 |                          50.00 |                          50.00 |
    | KF linear, lr 0.1   | --         |         **70.00** |         **70.00** |                      **70.00** |                      **70.00** |
    | KF linear, lr 0.001 | --         |           _60.10_ |           _60.10_ |                        _60.10_ |                        _60.10_ |
    ");
}

/// A spreadsheet is given no formula, a terminal no sequence; `raw` gives the text.
#[test]
fn csv_is_safe_to_open() {
    let labels = [
        "=cmd|'/C calc'!A0",
        "+1+1",
        "-2",
        "@SUM(1)",
        " =1",
        "\t=1",
        "＝1",
        "a\u{1b}[31m\nb",
        "a=b",
    ];
    let records: Vec<Record> = labels
        .iter()
        .enumerate()
        .map(|(at, label)| {
            with(record(Kind::Fuse, 2, 1, "hf-linear", 0.5), |record| {
                record.label = Some((*label).to_string());
                record.settings = json!({ "number": at });
                record.metrics.as_mut().expect("metrics").loss = -1e-20;
            })
        })
        .collect();
    let summary = Summary::from_records(&index(&records), &records).expect("summary");
    let table = [by_split(&summary, Metric::Loss).expect("table")];
    let column = |csv: &str| -> Vec<String> {
        let rows = csv.split("\r\n").skip(1).filter(|line| !line.is_empty());
        rows.map(|line| line.split(',').nth(1).unwrap_or_default().to_string())
            .collect()
    };
    let safe = to_csv(&table, false);
    assert_eq!(
        column(&safe),
        [
            "'=cmd|'/C calc'!A0",
            "'+1+1",
            "'-2",
            "'@SUM(1)",
            "' =1",
            "\\t=1",
            "'＝1",
            "a\\u{1b}[31m\\nb",
            "a=b"
        ]
    );
    // Numbers are no text.
    assert!(safe.contains(",loss,-1e-20,"), "{safe}");
    let raw = to_csv(&table, true);
    let quoted = "\"a\u{1b}[31m\nb\"";
    assert_eq!(column(&raw)[..7], labels[..7]);
    assert!(raw.contains(quoted), "{raw}");
}
