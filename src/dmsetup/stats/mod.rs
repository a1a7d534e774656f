//! `stats`, also started as `dmstats`: counters that the kernel keeps for regions of a device.
//!
//! `region` talks to the kernel, `report` lists and reports, `row` provides its fields; here are the commands that
//! change regions.

mod arguments;
mod create;
mod filemap;
mod group;
mod histogram;
pub(super) mod monitor;
mod region;
mod report;
mod row;
mod size;

use std::ffi::OsString;

use serde_json::json;

use super::error::Failure;
use super::options::Opt;
use super::session::{About, Session};
use super::{report as fields, targets};
use crate::mapping::describe;
use arguments::{devices, number, numbers, regions, wanted};
use region::Region;

/// dmsetup's name for this verb alone.
pub(super) const OWN_NAME: &str = "dmstats";

pub(super) fn stats(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let Some((name, words)) = words.split_first() else {
        return Err(Failure::Report(format!(
            "Incorrect number of arguments.\n{}",
            usage(session)
        )));
    };
    session.name_command(|| format!("dm stats {}", name.to_string_lossy()));
    let run = match name.to_str().unwrap_or_default() {
        "help" => {
            session.complain(usage(session) + &fields::field_list());
            return Ok(());
        }
        "clear" => clear,
        "create" => create::create,
        "delete" => delete,
        "group" => group::group,
        "list" => report::list,
        "print" => print,
        "report" => report::report,
        "ungroup" => group::ungroup,
        "update_filemap" => filemap::update,
        "version" => targets::version,
        _ => {
            let usage = usage(session);
            return Err(Failure::Report(format!(
                "Unknown stats command.\n{usage}{}Command failed.\n",
                fields::field_list()
            )));
        }
    };
    run(session, words)
}

/// The usage text, laid out as in dmsetup.
pub(super) fn usage(session: &Session) -> String {
    let name = if session.as_dmstats { OWN_NAME } else { "dmsetup stats" };
    format!("Usage:\n\n{name}\n{USAGE}")
}

const USAGE: &str = include_str!("usage.txt");

fn clear(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let wanted = wanted(session)?;
    for id in devices(session, words, true)? {
        let there = regions(session, &id)?;
        if let Some(wanted) = wanted
            && !there.iter().any(|region| region.id == wanted)
        {
            return Err(Failure::because(format_args!("No such region: {wanted}.")));
        }
        for number in numbers(session, &id, wanted)? {
            region::say(session, &id, &format!("@stats_clear {number}"))?;
        }
    }
    Ok(())
}

fn print(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let wanted = wanted(session)?;
    session.tell_each("regions", []);
    let verb = if session.options.has(Opt::Clear) {
        "print_clear"
    } else {
        "print"
    };
    for id in devices(session, words, true)? {
        for number in numbers(session, &id, wanted)? {
            let text = region::say(session, &id, &format!("@stats_{verb} {number}"))
                .map_err(|failure| failure.and("Could not print statistics region."))?;
            if session.json() {
                let entry = region::counted(session, &id, number, &text)?;
                session.tell_each("regions", [entry]);
            }
            session.say(text)?;
        }
    }
    Ok(())
}

fn delete(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let (region, group) = (number(session, Opt::RegionId)?, number(session, Opt::GroupId)?);
    if region.is_some() && group.is_some() {
        return Err(Failure::because("Please use one of --regionid and --groupid."));
    }
    if region.is_none() && group.is_none() && !session.options.has(Opt::AllRegions) {
        return Err(Failure::because(
            "Please specify a --regionid or --groupid, or use --allregions.",
        ));
    }
    for id in devices(session, words, false)? {
        let device = match session.json() {
            true => describe::name(&session.dm()?.info(&id).about(&id)?.name),
            false => String::new(),
        };
        let mut there = regions(session, &id)?;
        let doomed: Vec<u64> = match (region, group) {
            (Some(wanted), _) if there.iter().any(|region| region.id == wanted) => vec![wanted],
            (Some(wanted), _) => {
                return Err(Failure::because(format_args!(
                    "Region ID {wanted} does not exist\nCould not delete statistics region"
                )));
            }
            (_, Some(wanted)) => match there.iter().find(|region| region.id == wanted) {
                Some(Region { group: Some(group), .. }) => group.members.clone(),
                _ => {
                    return Err(Failure::because(format_args!(
                        "Invalid group ID: {wanted}\nCould not delete statistics group."
                    )));
                }
            },
            _ => there.iter().map(|region| region.id).collect(),
        };
        there.retain_mut(|left| {
            let Some(group) = &mut left.group else { return false };
            let before = group.members.len();
            group.members.retain(|member| !doomed.contains(member));
            !doomed.contains(&left.id) && group.members.len() < before
        });
        for number in doomed {
            session.tell_each("regions", [json!({ "device": device, "region_id": number })]);
            region::delete(session, &id, number)
                .map_err(|failure| failure.and("Could not delete statistics region"))?;
        }
        // A group that lost a member continues without it; with its first it is gone.
        for first in there {
            region::keep(session, &id, &first)?;
        }
        if let Some(group) = group {
            session.say(format!("Deleted statistics group {group}.\n"))?;
        }
    }
    Ok(())
}
