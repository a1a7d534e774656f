//! The help of reports: the list of fields, and the syntax of a selection.

use std::fmt;

use super::fields::{FIELDS, Field, HELP, Holds, Needs, SECTIONS};

/// The list of all fields. For a selection it has their kinds; for lists of fields it has the names of whole groups.
pub(super) struct Fields {
    pub(super) kinds: bool,
}

impl Fields {
    fn line(&self, f: &mut fmt::Formatter<'_>, name: &str, about: &str, kind: &str) -> fmt::Result {
        write!(f, "  {name:<21} - {about}")?;
        if self.kinds {
            write!(f, " [{kind}]")?;
        }
        writeln!(f)
    }

    fn section<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        fields: impl Iterator<Item = &'a Field>,
        group: Option<&str>,
    ) -> fmt::Result {
        writeln!(f, "{title}\n{}", "-".repeat(title.len()))?;
        if let (Some(group), false) = (group, self.kinds) {
            self.line(f, &format!("{group}_all"), "All fields in this section.", "")?;
        }
        for field in fields {
            let kind = match field.holds {
                Holds::Text => "string",
                Holds::Number => "number",
                Holds::Size => "size",
            };
            self.line(f, field.name, field.about, kind)?;
        }
        Ok(())
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = |needs: &'static [Needs]| FIELDS.iter().filter(move |field| needs.contains(&field.id.needs()));
        for section in SECTIONS {
            self.section(f, section.title, within(section.holds), Some(section.group))?;
            writeln!(f, " ")?;
        }
        self.section(f, "Special Fields", within(&[Needs::Special]), None)?;
        for name in HELP {
            self.line(f, name, "Show help.", "unselectable number")?;
        }
        writeln!(f, " ")
    }
}

/// The operators of a selection.
pub(super) const SELECTION: &str = "\
Selection operands
------------------
  field               - Reporting field.
  number              - Non-negative integer value.
  size                - Floating point value with units, 'm' unit used by default if not specified.
  percent             - Non-negative integer with or without % suffix.
  string              - Characters quoted by ' or \" or unquoted.
  string list         - Strings enclosed by [ ] or { } and elements delimited by either
                        \"all items must match\" or \"at least one item must match\" operator.
  regular expression  - Characters quoted by ' or \" or unquoted.
\x20
Selection operators
-------------------
  Comparison operators:
        =~  - Matching regular expression. [regex]
        !~  - Not matching regular expression. [regex]
         =  - Equal to. [number, size, percent, string, string list, time]
        !=  - Not equal to. [number, size, percent, string, string_list, time]
        >=  - Greater than or equal to. [number, size, percent, time]
         >  - Greater than. [number, size, percent, time]
        <=  - Less than or equal to. [number, size, percent, time]
         <  - Less than. [number, size, percent, time]
     since  - Since specified time (same as '>='). [time]
     after  - After specified time (same as '>'). [time]
     until  - Until specified time (same as '<='). [time]
    before  - Before specified time (same as '<'). [time]
\x20
  Logical and grouping operators:
      &&  - All fields must match
       ,  - All fields must match
      ||  - At least one field must match
       #  - At least one field must match
       !  - Logical negation
       (  - Left parenthesis
       )  - Right parenthesis
       [  - List start
       ]  - List end
       {  - List subset start
       }  - List subset end
\x20
";
