//! `check`: a verdict on devices of the device-mapper, for people and for monitoring.

use serde_json::{Map, Value, json};

use super::context::Context;
use super::mapped;
use crate::console::ExitCode;
use crate::cryptsetup::error::CliError;
use crate::dm::{DeviceId, Dm, DmError};
use crate::mapping::health::{Reason, Thresholds, Verdict};
use crate::mapping::{Examined, Mappings, describe};

/// A device by the name that is shown, and what is wrong with it.
struct Checked {
    name: String,
    reasons: Vec<Reason>,
}

pub(super) fn check(cx: &Context<'_>, devices: &[String]) -> Result<(), CliError> {
    let thresholds = thresholds(cx);
    let dm = Dm::open().map_err(CliError::Unreachable)?;
    let mut checked = Vec::new();
    if devices.is_empty() {
        for mapping in &Mappings::enumerate(&dm).map_err(CliError::Unreachable)? {
            let examined = Examined::of(&dm, &DeviceId::Number(mapping.number), true);
            // One that was removed since it was listed is not there to be checked.
            if !examined.as_ref().is_err_and(DmError::is_not_found) {
                checked.push(Checked::of(describe::name(&mapping.name), examined, thresholds));
            }
        }
    }
    for device in devices {
        let examined = match mapped::find(&dm, device)? {
            Some(id) => Examined::of(&dm, &id, true),
            None => {
                let reason = Reason::new(Verdict::Unknown, "there is no such device");
                let (name, reasons) = (device.clone(), vec![reason]);
                checked.push(Checked { name, reasons });
                continue;
            }
        };
        checked.push(Checked::of(device.clone(), examined, thresholds));
    }
    cx.console.answer(|| to_json(&checked), || text(&checked));
    let worst = checked.iter().map(|device| Verdict::of(&device.reasons)).max();
    cx.console.conclude(match worst.unwrap_or_default() {
        Verdict::Sound => ExitCode::Success,
        Verdict::Warning => ExitCode::Warning,
        Verdict::Critical => ExitCode::Critical,
        Verdict::Unknown => ExitCode::Unknown,
    });
    Ok(())
}

/// Those given; what is critical is worth a warning too.
pub(super) fn thresholds(cx: &Context<'_>) -> Thresholds {
    let usual = Thresholds::default();
    let critical = cx
        .options
        .critical
        .unwrap_or(usual.critical.max(cx.options.warning.unwrap_or(0)));
    Thresholds {
        warning: cx.options.warning.unwrap_or(usual.warning.min(critical)),
        critical,
    }
}

impl Checked {
    fn of(typed: String, examined: Result<Examined, DmError>, thresholds: Thresholds) -> Self {
        match examined {
            Ok(examined) => Self {
                name: describe::name(&examined.info.name),
                reasons: examined.reasons(thresholds),
            },
            Err(error) => Self {
                name: typed,
                reasons: vec![Reason::new(Verdict::Unknown, error.to_string())],
            },
        }
    }
}

fn to_json(checked: &[Checked]) -> Value {
    let one = |device: &Checked| {
        let mut out = Map::new();
        out.insert("name".into(), device.name.as_str().into());
        Reason::put(&device.reasons, &mut out);
        Value::from(out)
    };
    json!({ "devices": checked.iter().map(one).collect::<Vec<_>>() })
}

/// A line for each device, and its notes below.
fn text(checked: &[Checked]) -> String {
    let mut out = String::new();
    for device in checked {
        let wrong = Reason::summary(&device.reasons);
        let notes = device.reasons.iter().filter(|reason| reason.verdict == Verdict::Sound);
        let verdict = if wrong.is_empty() {
            Verdict::Sound.name()
        } else {
            &wrong
        };
        out += &line(&device.name, verdict);
        for note in notes {
            out += &format!("  note: {}\n", crate::terminal_text::clean(&note.text));
        }
    }
    out
}

/// `name: verdict: reasons`
pub(super) fn line(name: &str, summary: &str) -> String {
    use crate::terminal_text::clean;
    format!("{}: {}\n", clean(name), clean(summary))
}
