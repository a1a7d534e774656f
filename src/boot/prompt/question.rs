//! A question to a person.

use crate::boot::options::Echo;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The description of the volume, in lines for a console; without the prompt.
    pub details: String,
    /// The prompt, in one line: the volume, and how many tries are left.
    pub prompt: String,
    /// The volume, for a password agent: `cryptsetup:` and the device.
    pub id: String,
    /// Whether what is typed may be seen.
    pub echo: Echo,
}
