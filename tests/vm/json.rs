//! `luksmith dm … --json` on a real kernel: the output of each verb is read with serde_json.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const KEY: &str = "00112233445566778899aabbccddeeff";

/// The output of one command.
struct Answer {
    exit: i32,
    text: String,
    objects: Vec<Value>,
}

impl Answer {
    fn only(&self) -> &Value {
        match self.objects.as_slice() {
            [one] => one,
            other => panic!("{} objects: {}", other.len(), self.text),
        }
    }

    fn result(&self) -> &Value {
        &self.only()["result"]
    }
}

fn answers() -> BTreeMap<String, Answer> {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dmjson");
    let _ = fs::remove_dir_all(&out);
    let run = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/vm"))
        .arg("--bin")
        .arg(crate::luksmith())
        .args(crate::machine("dmjson.sh"))
        .args(["--timeout", "900", "--out"])
        .arg(&out)
        .arg("dmjson.sh")
        .output()
        .expect("scripts/vm starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    let index = fs::read_to_string(out.join("index")).expect("the index");
    let read = |line: &str| {
        let (exit, label) = line.split_once(' ').expect("a code and a label");
        let bytes = fs::read(out.join(format!("{label}.json"))).expect("an answer");
        let text = String::from_utf8(bytes).unwrap_or_else(|error| panic!("{label} is no UTF-8: {error}"));
        let objects = text.lines().map(|line| {
            assert!(!line.chars().any(char::is_control), "{label}: {line:?}");
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{label}: {error}: {line}"))
        });
        let answer = Answer {
            exit: exit.parse().expect("a code"),
            objects: objects.collect(),
            text: text.clone(),
        };
        (label.to_owned(), answer)
    };
    index.lines().map(read).collect()
}

#[test]
fn every_verb_of_dm_answers_in_json() {
    let answers = answers();
    assert!(answers.len() > 70, "{} answers", answers.len());
    for (label, answer) in &answers {
        if label.starts_with("none-") {
            assert_eq!((answer.exit, answer.text.as_str()), (1, ""), "{label}");
            continue;
        }
        assert!(!answer.objects.is_empty() && answer.text.ends_with('\n'), "{label}");
        for object in &answer.objects {
            assert_eq!(object["schema_version"], 1, "{label}");
            let command = object["command"].as_str().expect("a command");
            assert!(command.starts_with("dm "), "{label}: {command}");
            let failed = label.starts_with("fail-");
            assert_eq!(answer.exit, i32::from(failed), "{label}: {object}");
            assert_eq!(object["error"]["message"].is_string(), failed, "{label}: {object}");
            assert_eq!(object["error"]["code"] == 1, failed, "{label}: {object}");
            assert!(failed || object["result"].is_object(), "{label}: {object}");
        }
        assert_eq!(
            answer.text.contains(KEY),
            label == "table-keys",
            "{label}: {}",
            answer.text
        );
    }
    let result = |label: &str| answers[label].result();
    let devices = |label: &str| result(label)["devices"].as_array().expect("devices").clone();
    let names = |label: &str| -> Vec<String> {
        let name = |device: &Value| device["name"].as_str().expect("a name").to_owned();
        devices(label).iter().map(name).collect()
    };

    for label in ["nothing", "nothing-table", "nothing-info"] {
        assert!(devices(label).is_empty(), "{label}");
    }
    assert_eq!(result("nothing-rows")["rows"], Value::Array(Vec::new()));
    assert_eq!(result("nothing-tree")["layers"], Value::Array(Vec::new()));
    assert_eq!(result("create"), &serde_json::json!({}));
    assert_eq!(names("create-verbose"), ["more"]);

    // Verbatim from the kernel: nothing in it ends a string or a line.
    for hostile in [
        "a \"quoted\" name",
        "back\\slash",
        "two\nlines",
        "\u{1b}[31mred",
        "ü 😀",
        "{\"a\":1}",
        "\u{9b}2J",
    ] {
        for label in ["ls", "info", "table", "status", "deps-all"] {
            assert!(
                names(label).iter().any(|name| name == hostile),
                "{label}: {hostile:?}: {:?}",
                names(label)
            );
        }
    }
    assert_eq!(names("ls").len(), 12);
    assert_eq!(names("ls-target"), ["secret"]);
    assert!(result("ls-tree")["layers"].as_array().expect("layers").len() > 12);

    let lin = &devices("info-one")[0];
    assert_eq!(lin["uuid"], "UUID-1");
    assert_eq!(lin["target_count"], 2);
    assert_eq!(lin["suspended"], false);
    assert_eq!(lin["uses"][0]["kernel_name"], "loop0");
    assert_eq!(devices("info-uuid")[0], *lin);
    assert_eq!(devices("deps")[0]["uses"][0]["name"], "lin");
    let row = |label: &str, name: &str| -> Value {
        let rows = result(label)["rows"].as_array().expect("rows");
        rows.iter()
            .find(|row| row["name"] == name)
            .unwrap_or_else(|| panic!("{label}: no {name}"))
            .clone()
    };
    assert_eq!(row("info-rows", "lin")["open"], 1);
    assert_eq!(row("info-rows", "lin")["uuid"], "UUID-1");
    assert!(row("info-all", "lin").as_object().expect("fields").len() > 25);
    assert_eq!(result("info-select")["rows"].as_array().expect("rows").len(), 1);
    assert_eq!(row("fail-all", "lin"), row("info-all", "lin"));
    assert_eq!(answers["info-count"].objects.len(), 3);

    let targets = &devices("table-one")[0]["targets"];
    assert_eq!(
        (&targets[0]["type"], &targets[0]["length_sectors"]),
        (&"crypt".into(), &4096.into())
    );
    let hidden = targets[0]["parameters"].as_str().expect("parameters");
    assert!(hidden.starts_with("aes-xts-plain64 0000000000000000"), "{hidden}");
    let shown = devices("table-keys")[0]["targets"][0]["parameters"].clone();
    assert!(
        shown
            .as_str()
            .is_some_and(|text| text.starts_with(&format!("aes-xts-plain64 {KEY}"))),
        "{shown}"
    );
    assert_eq!(names("table-target"), ["secret"]);
    assert_eq!(devices("table-inactive")[0]["targets"][0]["start_sectors"], 0);
    assert_eq!(devices("status").len(), 12);
    assert!(devices("measure")[0]["targets"][0]["measurement"].is_string());
    assert_eq!(result("wait"), &serde_json::json!({}));
    assert_eq!(names("resume"), ["lin"]);
    assert_eq!(
        result("splitname")["rows"][0],
        serde_json::json!({ "vg_name": "vg-a", "lv_name": "lv", "lv_layer": "layer" })
    );
    assert_eq!(result("target-version")["targets"][0]["type"], "linear");
    assert!(result("targets")["targets"].as_array().expect("targets").len() > 2);
    assert!(result("version")["driver_version"].is_string());
    assert_eq!(result("mangle")["devices"][0]["name"], "lin");

    assert_eq!(result("stats-create")["regions"].as_array().expect("regions").len(), 2);
    assert_eq!(
        result("stats-create")["groups"][0],
        serde_json::json!({ "group_id": 0, "regions": [0, 1], "alias": "al" })
    );
    assert!(result("stats-list")["rows"].as_array().expect("rows").len() >= 4);
    let printed = result("stats-print")["regions"].as_array().expect("regions");
    let secret = printed
        .iter()
        .find(|region| region["device"] == "secret")
        .expect("its region");
    assert_eq!(secret["areas"].as_array().expect("areas").len(), 2);
    assert!(
        secret["areas"][0]["read_count"].as_u64().is_some_and(|count| count > 0),
        "{secret}"
    );
    let with_bounds = printed
        .iter()
        .find(|region| region["device"] == "lin")
        .expect("its region");
    assert_eq!(
        with_bounds["areas"][0]["histogram"].as_array().expect("counts").len(),
        3
    );
    assert_eq!(answers["stats-report-all"].objects.len(), 2);
    let report = result("stats-report")["rows"][0].as_object().expect("fields");
    assert!(
        report["util"].is_number() && report["area_len"].is_number(),
        "{report:?}"
    );
    assert_eq!(result("stats-none")["rows"], Value::Array(Vec::new()));
    assert_eq!(result("flags")["flags"].as_array().expect("flags").len(), 4);
    assert!(result("cookies")["cookies"].is_array());
    assert!(result("complete-all")["destroyed"].is_number());
    assert_eq!(
        answers["fail-table-one"].only()["error"]["message"],
        "device-mapper: table ioctl on nosuch  failed: No such device or address"
    );
}
