//! The tree of devices: which mapping uses which, down to devices that are not mappings.

use std::collections::HashMap;

use super::{Mapping, Mappings};
use crate::block_device::DevNo;
use crate::dm::{DeviceId, DeviceInfo, Dm, DmError, Which};

/// All mappings and the devices below them, in the order of the walk: each before those that it uses, and these before
/// the next in the kernel's list.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    by_number: HashMap<DevNo, usize>,
}

/// One device of a tree.
#[derive(Debug)]
pub struct Node {
    /// Its number.
    pub number: DevNo,
    /// The mapping, if it is one.
    pub mapping: Option<Mapping>,
    /// Its state, if it is a mapping.
    pub info: Option<DeviceInfo>,
    /// The devices that it uses, in the order of its table: indices into [`Tree::nodes`].
    pub uses: Vec<usize>,
    /// The devices that use it: indices into [`Tree::nodes`].
    pub used_by: Vec<usize>,
}

impl Tree {
    /// Queries what every mapping uses: one request for each.
    ///
    /// # Errors
    /// The device-mapper's.
    pub fn of(dm: &Dm, mappings: &Mappings) -> Result<Self, DmError> {
        Self::build(mappings, |mapping| {
            match dm.info_and_deps(&DeviceId::Number(mapping.number), Which::Live) {
                Ok((info, uses)) => Ok(Some((Some(info), uses))),
                // It was removed since it was listed.
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn build<E>(
        mappings: &Mappings,
        mut ask: impl FnMut(&Mapping) -> Result<Option<(Option<DeviceInfo>, Vec<DevNo>)>, E>,
    ) -> Result<Self, E> {
        let known: HashMap<DevNo, &Mapping> = mappings.iter().map(|mapping| (mapping.number, mapping)).collect();
        let mut tree = Self::default();
        for mapping in mappings {
            // Without recursion: the number of devices on top of each other has no limit.
            let mut open = Vec::new();
            if !tree.by_number.contains_key(&mapping.number) {
                open.extend(tree.enter(mapping.number, &known, &mut ask)?);
            }
            while let Some((user, rest)) = open.last_mut() {
                let user = *user;
                let Some(used) = rest.pop() else {
                    open.pop();
                    continue;
                };
                let place = match tree.by_number.get(&used) {
                    Some(place) => *place,
                    None => {
                        let Some(entered) = tree.enter(used, &known, &mut ask)? else {
                            continue;
                        };
                        let place = entered.0;
                        open.push(entered);
                        place
                    }
                };
                tree.nodes[user].uses.push(place);
                tree.nodes[place].used_by.push(user);
            }
        }
        Ok(tree)
    }

    /// Adds a device. Returns its index and the devices that it uses, the first last; `None` for a mapping that is gone.
    fn enter<E>(
        &mut self,
        number: DevNo,
        known: &HashMap<DevNo, &Mapping>,
        ask: &mut impl FnMut(&Mapping) -> Result<Option<(Option<DeviceInfo>, Vec<DevNo>)>, E>,
    ) -> Result<Option<(usize, Vec<DevNo>)>, E> {
        let mapping = known.get(&number).copied();
        let (info, mut uses) = match mapping {
            None => (None, Vec::new()),
            Some(mapping) => match ask(mapping)? {
                Some(answer) => answer,
                None => return Ok(None),
            },
        };
        uses.reverse();
        let place = self.nodes.len();
        self.nodes.push(Node {
            number,
            mapping: mapping.cloned(),
            info,
            uses: Vec::new(),
            used_by: Vec::new(),
        });
        self.by_number.insert(number, place);
        Ok(Some((place, uses)))
    }

    /// All devices.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A device by its number.
    pub fn by_number(&self, number: DevNo) -> Option<&Node> {
        Some(&self.nodes[*self.by_number.get(&number)?])
    }

    /// The devices that nothing else in the tree uses.
    pub fn tops(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.used_by.is_empty())
    }

    /// The devices that use nothing else.
    pub fn bottoms(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.uses.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::DeviceName;

    fn mappings(names: &[(&str, u32)]) -> Mappings {
        let entry = |(name, minor): &(&str, u32)| Mapping {
            name: DeviceName::new(name).expect("a name"),
            number: DevNo::new(253, *minor),
            uuid: None,
            event_nr: 0,
        };
        Mappings {
            entries: names.iter().map(entry).collect(),
        }
    }

    fn tree(names: &[(&str, u32)], uses: &[(u32, &[DevNo])]) -> Tree {
        Tree::build(&mappings(names), |mapping| -> Result<_, ()> {
            let found = uses.iter().find(|(minor, _)| *minor == mapping.number.minor);
            Ok(found.map(|(_, uses)| (None, uses.to_vec())))
        })
        .expect("every device can be asked")
    }

    fn names(tree: &Tree, places: &[usize]) -> Vec<String> {
        let name = |place: &usize| {
            let node = &tree.nodes()[*place];
            node.mapping
                .as_ref()
                .map_or(node.number.to_string(), |mapping| mapping.name.to_string())
        };
        places.iter().map(name).collect()
    }

    const DISK: DevNo = DevNo::new(7, 0);
    const fn dm(minor: u32) -> DevNo {
        DevNo::new(253, minor)
    }

    #[test]
    fn devices_are_met_from_the_top_down() {
        let tree = tree(
            &[("a", 3), ("b", 1), ("c", 2)],
            &[(3, &[dm(2), dm(1)]), (1, &[DISK]), (2, &[DISK])],
        );
        let all: Vec<usize> = (0..tree.nodes().len()).collect();
        assert_eq!(names(&tree, &all), ["a", "c", "7:0", "b"]);
        let disk = tree.by_number(DISK).expect("it is in the tree");
        assert_eq!(names(&tree, &disk.used_by), ["c", "b"]);
        let top = tree.by_number(dm(3)).expect("it is in the tree");
        assert_eq!(names(&tree, &top.uses), ["c", "b"]);
        assert_eq!(tree.tops().count(), 1);
        assert_eq!(tree.bottoms().count(), 1);
    }

    #[test]
    fn a_device_that_goes_meanwhile_is_left_out() {
        let tree = tree(&[("a", 3), ("b", 1)], &[(3, &[dm(1), DISK])]);
        let all: Vec<usize> = (0..tree.nodes().len()).collect();
        assert_eq!(names(&tree, &all), ["a", "7:0"]);
    }

    #[test]
    fn no_height_overflows() {
        let count = 20_000;
        let names: Vec<(String, u32)> = (0..count).map(|minor| (format!("d{minor}"), minor)).collect();
        let names: Vec<(&str, u32)> = names.iter().map(|(name, minor)| (name.as_str(), *minor)).collect();
        let tree = Tree::build(&mappings(&names), |mapping| -> Result<_, ()> {
            Ok(Some((None, vec![dm(mapping.number.minor + 1)])))
        })
        .expect("every device can be asked");
        assert_eq!(tree.nodes().len(), count as usize + 1);
        assert_eq!(tree.tops().count(), 1);
    }
}
