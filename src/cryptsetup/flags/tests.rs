use super::defs::FLAGS;
use super::*;
use crate::cryptsetup::actions::OUR_VERBS;

#[test]
fn cryptsetup_takes_and_refuses_what_the_golden_file_says() {
    let answers = include_str!("../../../tests/golden/cryptsetup-options.txt");
    let mut compared = 0;
    for line in answers.lines().filter(|line| !line.starts_with('#')) {
        let (option, actions) = line.split_once(':').expect("an option and its actions");
        let flag = FLAGS.iter().find(|flag| flag.long == option).expect(option);
        let taking: Vec<&str> = actions.split_whitespace().collect();
        for info in VERBS.iter().filter(|info| !OUR_VERBS.contains(&info.verb)) {
            let taken = taking == ["*"] || taking.contains(&info.name);
            let ours = flag.is_taken(Persona::Cryptsetup, info.verb);
            assert_eq!(ours, taken, "--{option} with {}", info.name);
            compared += 1;
        }
    }
    assert!(compared > 2900, "{compared}");
}

#[test]
fn every_name_stands_once() {
    let names: Vec<_> = FLAGS
        .iter()
        .flat_map(|flag| {
            [
                Some(flag.long.to_owned()),
                flag.alias.map(str::to_owned),
                flag.short.map(String::from),
            ]
        })
        .flatten()
        .collect();
    for (n, name) in names.iter().enumerate() {
        assert!(!names[..n].contains(name), "{name}");
    }
}

#[test]
fn rules_of_one_place_have_one_message() {
    let rules: Vec<_> = FLAGS.iter().flat_map(|flag| flag.rules).collect();
    for Rule(place, _, text) in &rules {
        let others = rules.iter().filter(|Rule(other, ..)| other == place);
        assert!(
            others.into_iter().all(|Rule(.., other)| other == text),
            "{place}: {text}"
        );
    }
}

#[test]
fn only_options_with_a_value_are_read() {
    for flag in FLAGS {
        assert_eq!(
            flag.value.is_none(),
            matches!(flag.set, Set::Switch(_)),
            "--{}",
            flag.long
        );
        let explained = flag.senses.iter().all(|sense| match sense {
            For::Help(verbs, _) | For::Value(verbs, _) => verbs.iter().any(|verb| flag.is_used(*verb)),
        });
        assert!(explained, "--{} is explained for an action without it", flag.long);
    }
}
