//! Every verdict here is one that dmsetup 1.02.185 gave.

use super::*;

/// A device called `lin`, open once, 253:7, over a region of 4 MiB.
fn takes(text: &str) -> bool {
    let selection = Selection::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut cell = |id| -> Result<Cell, ()> {
        Ok(match id {
            Id::Name => Cell::text("lin"),
            Id::Uuid => Cell::text("CRYPT-PLAIN-x"),
            Id::DevsUsed => Cell::text("pd,pm"),
            Id::Open => Cell::number(1_u64),
            Id::Minor => Cell::number(7_u64),
            Id::RegionLen => Cell::shown("4.00m", 8192),
            _ => Cell::text(""),
        })
    };
    selection.takes(&mut cell).expect("every field is known")
}

#[test]
fn comparisons() {
    for (text, taken) in [
        ("name=lin", true),
        (" name = \"lin\" ", true),
        ("name='lin'", true),
        ("name==lin", false),
        ("name!=lin", false),
        ("name!=x", true),
        ("NA_ME=lin", true),
        ("name=", false),
        ("vg_name=", true),
        ("vg_name=\"\"", true),
        ("name=~li", true),
        ("name!~li", false),
        ("name=~^lin$", true),
        ("name=~[il]", false),
        ("name=~\"[li]\"", true),
        ("uuid=~CRYPT|TEST", true),
        ("uuid=~(CRYPT|TEST)", true),
        ("uuid=~{PLAIN}", true),
        ("devs_used=\"pd,pm\"", true),
        ("open=1", true),
        ("open=1.9", true),
        ("open=.5", false),
        ("open=0000000000000000000000001", true),
        ("minor>6", true),
        ("minor>=7", true),
        ("minor<7", false),
        ("minor<=7", true),
        ("minor<18446744073709551615", true),
        ("region_len=4", true),
        ("region_len=4m", true),
        ("region_len=4096k", true),
        ("region_len=8192s", true),
        ("region_len=4194304b", true),
        ("region_len=4M", false),
        ("region_len>4M", true),
        ("region_len<99e", true),
        ("region_len!=4m", false),
    ] {
        assert_eq!(takes(text), taken, "{text}");
    }
}

#[test]
fn logic() {
    for (text, taken) in [
        ("open=1 && minor=7", true),
        ("open=1, minor=8", false),
        ("open=2||minor=7", true),
        ("open=2 # minor=8", false),
        ("name=lin||name=x&&name=y", true),
        ("(name=lin||name=x)&&name=y", false),
        ("!(name=x)", true),
        ("!(!(name=lin))", true),
        ("!((name=x) || name=y) && open=1", true),
        ("((name=lin))", true),
        ("name=lin&&name=lin", true),
        ("name=\"lin\"||minor=1", true),
    ] {
        assert_eq!(takes(text), taken, "{text}");
    }
}

/// The message, less the help that may precede it.
fn refused(text: &str) -> String {
    let error = Selection::parse(text.as_bytes()).expect_err(text).to_string();
    let help_ends = error.rfind("\n \n").map_or(0, |end| end + 3);
    error[help_ends..].to_owned()
}

fn syntax(first: &str, at: &str) -> String {
    format!("{first}\nSelection syntax error at '{at}'.\nUse 'help' for selection to get more help.\n")
}

#[test]
fn what_makes_no_sense_is_refused_where_it_stands() {
    for (text, first, at) in [
        (" ", "Expecting field name", ""),
        ("()", "Expecting field name", ")"),
        ("=lin", "Expecting field name", "=lin"),
        ("open=1 &&", "Expecting field name", ""),
        ("name=lin,,name=cr", "Expecting field name", ",name=cr"),
        ("name=lin|||name=cr", "Expecting field name", "|name=cr"),
        ("name=with space", "Expecting logical operator", "space"),
        ("name=lin)", "Expecting logical operator", ")"),
        ("(name=lin)(open=1)", "Expecting logical operator", "(open=1)"),
        ("minor>=0x5", "Expecting logical operator", "x5"),
        ("uuid=~(a|b)-", "Expecting logical operator", "-"),
        ("region_len=4mb", "Expecting logical operator", "b"),
        ("nosuch=1", "Unrecognised selection field: nosuch", "nosuch=1"),
        ("all=1", "Unrecognised selection field: all", "all=1"),
        ("name=a,b", "Unrecognised selection field: b", "b"),
        ("help=1", "Selection field is uncomparable: help.", "help=1"),
        ("name", "Unrecognised comparison operator: ", "name"),
        ("name lin", "Unrecognised comparison operator:  lin", "name lin"),
        ("open!1", "Unrecognised comparison operator: !1", "open!1"),
        (
            "name>lin",
            "Operator can be used only with number, size, time or percent fields: name>lin",
            "name>lin",
        ),
        (
            "open since 1",
            "Operator can be used only with time fields: open since 1",
            "open since 1",
        ),
        (
            "open=1 && (minor=abc)",
            "Failed to parse numeric value for selection field minor.",
            "minor=abc)",
        ),
        (
            "open=-1",
            "Failed to parse numeric value for selection field open.",
            "open=-1",
        ),
        (
            "open=1k",
            "Found size unit specifier but numeric value expected for selection field open.",
            "open=1k",
        ),
        (
            "open=1%",
            "Found percent value but numeric value expected for selection field open.",
            "open=1%",
        ),
        (
            "region_len=1%",
            "Found percent value but size value expected for selection field region_len.",
            "region_len=1%",
        ),
        (
            "name=~",
            "Regular expression expected for selection field name",
            "name=~",
        ),
        (
            "name='lin",
            "Missing end quote.\nFailed to parse string value for selection field name.",
            "name='lin",
        ),
        (
            "name=~[lin",
            "Missing end quote.\nFailed to parse regex value for selection field name.",
            "name=~[lin",
        ),
    ] {
        assert_eq!(refused(text), syntax(first, at), "{text}");
    }
}

#[test]
fn some_refusals_have_a_line_of_their_own() {
    for (text, line) in [
        ("!open=1", "Syntax error: left parenthesis expected at 'open=1'\n"),
        ("! name=lin", "Syntax error: left parenthesis expected at ' name=lin'\n"),
        ("(name=lin", "Syntax error: right parenthesis expected at ''\n"),
        (
            "minor=18446744073709551616",
            "Field selection value 18446744073709551616 out of supported range for field minor.\n",
        ),
        (
            "open=~1",
            "dm_report: incompatible comparison type for selection field open\n",
        ),
        (
            "name=~a(b",
            "missing ')' in regular expression\nParse error in regex\nCouldn't parse regex\n\
             dm_report: failed to create regex matcher for selection field name\n",
        ),
    ] {
        assert_eq!(refused(text), line, "{text}");
    }
    assert_eq!(Selection::parse(b"help"), Err(SelectionError::Help));
    assert_eq!(Selection::parse(b"?"), Err(SelectionError::Help));
}

#[test]
fn no_depth_overflows() {
    let deep = "(".repeat(100_000);
    assert!(matches!(
        Selection::parse(deep.as_bytes()),
        Err(SelectionError::Parenthesis { .. })
    ));
}
