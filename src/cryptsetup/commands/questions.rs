//! The words of the questions that an operation asks.

use super::context::Context;
use crate::console::confirm;
use crate::crypt_device::{Confirm, Question};
use crate::cryptsetup::error::format_name;
use crate::terminal_text::shown;

impl Confirm for Context<'_> {
    fn confirm(&self, question: &Question<'_>) -> bool {
        let warning = match question {
            Question::Convert { device, to, loses } => {
                let mut warning = format!(
                    "This operation will convert {} to {} format.\n",
                    shown(device),
                    format_name(*to)
                );
                if *loses {
                    warning
                        .push_str("Label, subsystem, priorities and flags have no place in LUKS1 and will be lost.\n");
                }
                warning
            }
            Question::ChangeUuid => "Do you really want to change UUID of device?".to_owned(),
        };
        confirm(self.console, &warning)
    }
}
