//! `stats group` and `ungroup`: regions that are reported together. The first of them is marked with the others.

use std::ffi::OsString;

use serde_json::json;

use super::arguments::{devices, name_of, number, one_word, regions};
use super::region::{self, Group, Region, members_of};
use crate::dmsetup::error::Failure;
use crate::dmsetup::options::Opt;
use crate::dmsetup::session::{About, Session};
use crate::mapping::describe;

pub(super) fn group(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let Some(typed) = session.options.text(Opt::Regions) else {
        return Err(Failure::because("Group requires --regions."));
    };
    let alias = one_word(session, Opt::Alias)?.unwrap_or_default();
    for id in devices(session, words, false)? {
        let info = session.dm()?.info(&id).about(&id)?;
        let name = name_of(session, &id, &info.name);
        let there = regions(session, &id)?;
        let refused = |why: String| Failure::because(format_args!("{why}\nCould not create group on {name}: {typed}"));
        if there.is_empty() {
            return Err(refused("Could not create group: no regions found.".into()));
        }
        let members = members_of(&typed).ok_or_else(|| refused(format!("Could not parse list: '{typed}'.")))?;
        let by_number = |number: &u64| there.iter().find(|region| region.id == *number);
        if let Some(missing) = members.iter().rev().find(|member| by_number(member).is_none()) {
            return Err(refused(format!("Invalid region ID: {missing}")));
        }
        let mut chosen: Vec<&Region> = Vec::new();
        for region in members.iter().filter_map(by_number) {
            let member = region.id;
            if let Some(first) = first_of(&there, member) {
                let group = first.id;
                return Err(refused(format!(
                    "Region ID {member} already a member of group ID {group}"
                )));
            }
            if chosen.iter().any(|other| other.bounds != region.bounds) {
                return Err(refused("All group members must have the same histogram bounds.".into()));
            }
            for other in &chosen {
                if other.start < region.start.saturating_add(region.length)
                    && region.start < other.start.saturating_add(other.length)
                {
                    let (a, b) = (other.id, region.id);
                    session.complain(format!(
                        "WARNING: region IDs {a} and {b} overlap. Some events will be counted twice.\n"
                    ));
                }
            }
            chosen.push(region);
        }
        let mut first = chosen[0].clone();
        first.group = Some(Group {
            alias: alias.clone(),
            members: members.clone(),
        });
        region::keep(session, &id, &first)?;
        session.tell_each(
            "groups",
            [json!({ "device": describe::name(&info.name), "group_id": first.id, "regions": members, "alias": alias })],
        );
        session.say(format!("Grouped regions {typed} as group ID {} on {name}\n", first.id))?;
    }
    Ok(())
}

/// The first region of the group that a region is in.
pub(super) fn first_of(there: &[Region], number: u64) -> Option<&Region> {
    let is_member = |group: &Group| group.members.contains(&number);
    there.iter().find(|region| region.group.as_ref().is_some_and(is_member))
}

pub(super) fn ungroup(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let Some(wanted) = number(session, Opt::GroupId)? else {
        return Err(Failure::because("Please specify group id."));
    };
    for id in devices(session, words, false)? {
        let info = session.dm()?.info(&id).about(&id)?;
        let name = name_of(session, &id, &info.name);
        let mut there = regions(session, &id)?;
        let grouped = there
            .iter_mut()
            .find(|region| region.id == wanted && region.group.is_some());
        let Some(first) = grouped else {
            return Err(Failure::because(format_args!(
                "Group ID {wanted} does not exist.\nCould not remove group {wanted} on {name}"
            )));
        };
        first.group = None;
        region::keep(session, &id, first)?;
        session.tell_each(
            "groups",
            [json!({ "device": describe::name(&info.name), "group_id": wanted })],
        );
        session.say(format!("Removed group ID {wanted} on {name}\n"))?;
    }
    Ok(())
}
