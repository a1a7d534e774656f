//! Regular expressions in dmsetup's syntax: `.`, `[…]`, `[^…]`, `(…)`, `|`, `*`, `+`, `?` and `\` before a literal
//! character. `^` and `$` are characters before and behind every text; `.` and `[^…]` match them too.
//!
//! A text matches when any part of it does. That takes time in proportion to the text, whatever the expression.

use std::fmt;

/// The character before every text.
const START: usize = 256;
/// The character behind every text.
const END: usize = 257;
const SIGNS: usize = 258;
/// How deep parentheses may be nested.
const DEEPEST: usize = 64;

/// A regular expression.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Regex {
    steps: Vec<Step>,
}

#[derive(Clone, PartialEq, Eq)]
enum Step {
    /// One sign out of a set, then on to the next step.
    Take(Box<[bool; SIGNS]>),
    /// A branch to both steps.
    Fork(usize, usize),
    /// A jump to that step.
    Jump(usize),
    /// It matches.
    Done,
}

/// The error in an expression. `Display` is dmsetup's wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dmsetup) enum RegexError {
    /// It ends too early.
    Incomplete,
    /// One side of a `|` is empty.
    EmptyAlternative,
    /// Too many nested parentheses.
    TooDeep,
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "missing ')' in regular expression",
            Self::EmptyAlternative => "Badly formed 'or' expression",
            Self::TooDeep => "too many parentheses in regular expression",
        })
    }
}

impl Regex {
    pub(super) fn parse(text: &[u8]) -> Result<Self, RegexError> {
        let mut parser = Parser {
            rest: text,
            steps: Vec::new(),
        };
        parser.either(0)?;
        if !parser.rest.is_empty() {
            return Err(RegexError::Incomplete);
        }
        parser.steps.push(Step::Done);
        Ok(Self { steps: parser.steps })
    }

    /// Whether any part of the text matches.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let signs = std::iter::once(START)
            .chain(text.iter().map(|byte| usize::from(*byte)))
            .chain([END]);
        let mut here = Places::new(self.steps.len());
        for sign in signs {
            // A match may begin anywhere.
            if here.reach(&self.steps, 0) {
                return true;
            }
            let mut next = Places::new(self.steps.len());
            for place in &here.waiting {
                if let Step::Take(set) = &self.steps[*place]
                    && set[sign]
                    && next.reach(&self.steps, place + 1)
                {
                    return true;
                }
            }
            here = next;
        }
        false
    }
}

/// The steps that the text has reached so far.
struct Places {
    seen: Vec<bool>,
    waiting: Vec<usize>,
}

impl Places {
    fn new(steps: usize) -> Self {
        Self {
            seen: vec![false; steps],
            waiting: Vec::new(),
        }
    }

    /// Follows branches from a step to those that match a character; returns whether the end is reached.
    fn reach(&mut self, steps: &[Step], from: usize) -> bool {
        let mut open = vec![from];
        while let Some(place) = open.pop() {
            if std::mem::replace(&mut self.seen[place], true) {
                continue;
            }
            match &steps[place] {
                Step::Take(_) => self.waiting.push(place),
                Step::Fork(a, b) => open.extend([*b, *a]),
                Step::Jump(to) => open.push(*to),
                Step::Done => return true,
            }
        }
        false
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    steps: Vec<Step>,
}

impl Parser<'_> {
    fn either(&mut self, depth: usize) -> Result<(), RegexError> {
        if depth > DEEPEST {
            return Err(RegexError::TooDeep);
        }
        let start = self.steps.len();
        self.sequence(depth)?;
        if self.rest.first() != Some(&b'|') {
            return Ok(());
        }
        self.rest = &self.rest[1..];
        if matches!(self.rest.first(), None | Some(b'|' | b')')) {
            return Err(RegexError::EmptyAlternative);
        }
        self.insert(start, Step::Fork(start + 1, self.steps.len() + 2));
        let jump = self.steps.len();
        self.steps.push(Step::Done);
        self.either(depth)?;
        self.steps[jump] = Step::Jump(self.steps.len());
        Ok(())
    }

    fn sequence(&mut self, depth: usize) -> Result<(), RegexError> {
        if matches!(self.rest.first(), None | Some(b')')) {
            return Err(RegexError::Incomplete);
        }
        if self.rest[0] == b'|' {
            return Err(RegexError::EmptyAlternative);
        }
        while !matches!(self.rest.first(), None | Some(b'|' | b')')) {
            self.repeated(depth)?;
        }
        Ok(())
    }

    fn repeated(&mut self, depth: usize) -> Result<(), RegexError> {
        let start = self.steps.len();
        self.single(depth)?;
        while let Some(sign @ (b'*' | b'+' | b'?')) = self.rest.first() {
            self.rest = &self.rest[1..];
            if *sign != b'+' {
                let behind = self.steps.len() + if *sign == b'*' { 2 } else { 1 };
                self.insert(start, Step::Fork(start + 1, behind));
            }
            match sign {
                b'*' => self.steps.push(Step::Jump(start)),
                b'+' => self.steps.push(Step::Fork(start, self.steps.len() + 1)),
                _ => {}
            }
        }
        Ok(())
    }

    fn single(&mut self, depth: usize) -> Result<(), RegexError> {
        let (first, rest) = self.rest.split_first().ok_or(RegexError::Incomplete)?;
        self.rest = rest;
        let mut set = Box::new([false; SIGNS]);
        match first {
            b'(' => {
                self.either(depth + 1)?;
                let closed = self.rest.split_first().filter(|(first, _)| **first == b')');
                self.rest = closed.ok_or(RegexError::Incomplete)?.1;
                return Ok(());
            }
            b'*' | b'+' | b'?' => return Err(RegexError::Incomplete),
            b'.' => set.fill(true),
            b'^' => set[START] = true,
            b'$' => set[END] = true,
            b'[' => self.bracket(&mut set)?,
            b'\\' => {
                let byte = self.escaped()?;
                set[usize::from(byte)] = true;
            }
            byte => set[usize::from(*byte)] = true,
        }
        self.steps.push(Step::Take(set));
        Ok(())
    }

    fn bracket(&mut self, set: &mut [bool; SIGNS]) -> Result<(), RegexError> {
        let negated = self.rest.first() == Some(&b'^');
        if negated {
            self.rest = &self.rest[1..];
        }
        loop {
            let from = match self.next()? {
                b']' => break,
                b'\\' => self.escaped()?,
                byte => byte,
            };
            let to = match self.rest {
                [b'-', b']', ..] => return Err(RegexError::Incomplete),
                [b'-', ..] => {
                    self.rest = &self.rest[1..];
                    match self.next()? {
                        b'\\' => self.escaped()?,
                        byte => byte,
                    }
                }
                _ => from,
            };
            for byte in from..=to {
                set[usize::from(byte)] = true;
            }
        }
        if negated {
            for sign in set.iter_mut() {
                *sign = !*sign;
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<u8, RegexError> {
        let (first, rest) = self.rest.split_first().ok_or(RegexError::Incomplete)?;
        self.rest = rest;
        Ok(*first)
    }

    fn escaped(&mut self) -> Result<u8, RegexError> {
        Ok(match self.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            byte => byte,
        })
    }

    /// Puts a step in front of others, which all move by one.
    fn insert(&mut self, at: usize, step: Step) {
        for moved in &mut self.steps[at..] {
            match moved {
                Step::Fork(a, b) => {
                    *a += 1;
                    *b += 1;
                }
                Step::Jump(to) => *to += 1,
                Step::Take(_) | Step::Done => {}
            }
        }
        self.steps.insert(at, step);
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regex")
            .field("steps", &self.steps.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, text: &str) -> bool {
        Regex::parse(expression.as_bytes())
            .expect("a good expression")
            .matches(text.as_bytes())
    }

    #[test]
    fn a_text_matches_when_a_part_of_it_does() {
        for (expression, yes, no) in [
            ("lin", &["lin", "linux", "berlin"][..], &["li", "iln", ""][..]),
            ("^lin$", &["lin"], &["linux", "berlin"]),
            ("l.n", &["lin", "l.n"], &["ln"]),
            (".lin", &["lin", "xlin"], &["li"]),
            ("li?n", &["lin", "ln"], &["liin"]),
            ("li+n", &["lin", "liin"], &["ln"]),
            ("li*n", &["ln", "liiin"], &["lan"]),
            ("^(lin|cr)$", &["lin", "cr"], &["crx", "link"]),
            ("a|b|c", &["xa", "xb", "xc"], &["x"]),
            ("[lp][id]", &["pd", "lin"], &["po"]),
            ("^[a-c]r", &["cr"], &["dr", "-r"]),
            ("^[^a-z]+$", &["12"], &["x1"]),
            ("[-a]", &["-", "a"], &["b"]),
            (r"[\]x]", &["]", "x"], &["\\"]),
            ("[]", &[], &["]", ""]),
            (r"\.", &["a.b"], &["ab"]),
            (r"\d\-", &["d-"], &["1-"]),
            ("li(n)(-u)?uid", &["lin-uuid"], &["lin-uid"]),
            ("^(cr)*$", &["", "crcr"], &["c"]),
            ("^(a*)*$", &["", "aaa"], &["b"]),
            ("l{1}", &["l{1}"], &["l"]),
            ("^^a", &[], &["a"]),
            ("a||", &[], &[]),
        ] {
            let Ok(regex) = Regex::parse(expression.as_bytes()) else {
                assert!(yes.is_empty() && no.is_empty(), "{expression}");
                continue;
            };
            for text in yes {
                assert!(regex.matches(text.as_bytes()), "{expression} {text}");
            }
            for text in no {
                assert!(!regex.matches(text.as_bytes()), "{expression} {text}");
            }
        }
        assert!(matches("^", "") && matches("$", ""));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for (expression, error) in [
            ("", RegexError::Incomplete),
            ("(", RegexError::Incomplete),
            ("a(b", RegexError::Incomplete),
            ("a)b", RegexError::Incomplete),
            ("[a", RegexError::Incomplete),
            ("[a-]", RegexError::Incomplete),
            ("*", RegexError::Incomplete),
            ("a\\", RegexError::Incomplete),
            ("|", RegexError::EmptyAlternative),
            ("a|", RegexError::EmptyAlternative),
            ("(a|)", RegexError::EmptyAlternative),
        ] {
            assert_eq!(Regex::parse(expression.as_bytes()), Err(error), "{expression}");
        }
        assert_eq!(
            Regex::parse("(".repeat(100_000).as_bytes()),
            Err(RegexError::TooDeep),
            "the stack holds"
        );
    }

    #[test]
    fn no_expression_takes_long() {
        let regex = Regex::parse("(a?)*".repeat(40).as_bytes()).expect("a good expression");
        assert!(regex.matches("a".repeat(5000).as_bytes()));
        assert!(!matches("^(a|aa)+$", &format!("{}b", "a".repeat(5000))));
    }
}
