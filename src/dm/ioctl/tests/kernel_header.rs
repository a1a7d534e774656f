//! Our numbers and places against the kernel's own header, `linux/dm-ioctl.h` (package linux-libc-dev), read by the C compiler.

use std::collections::BTreeMap;
use std::process::Command as Program;

use super::super::*;
use crate::dm::wire;

/// Ours beside the expression in C.
fn ours() -> Vec<(String, u64)> {
    let mut ours: Vec<(String, u64)> = [
        (Command::Version, "DM_VERSION"),
        (Command::RemoveAll, "DM_REMOVE_ALL"),
        (Command::List, "DM_LIST_DEVICES"),
        (Command::Create, "DM_DEV_CREATE"),
        (Command::Remove, "DM_DEV_REMOVE"),
        (Command::Rename, "DM_DEV_RENAME"),
        (Command::Suspend, "DM_DEV_SUSPEND"),
        (Command::Resume, "DM_DEV_SUSPEND + 0"),
        (Command::Info, "DM_DEV_STATUS"),
        (Command::Wait, "DM_DEV_WAIT"),
        (Command::Load, "DM_TABLE_LOAD"),
        (Command::Clear, "DM_TABLE_CLEAR"),
        (Command::Deps, "DM_TABLE_DEPS"),
        (Command::Table, "DM_TABLE_STATUS"),
        (Command::Status, "DM_TABLE_STATUS + 0"),
        (Command::Targets, "DM_LIST_VERSIONS"),
        (Command::Message, "DM_TARGET_MSG"),
        (Command::SetGeometry, "DM_DEV_SET_GEOMETRY"),
        (Command::ArmPoll, "DM_DEV_ARM_POLL"),
        (Command::TargetVersion, "DM_GET_TARGET_VERSION"),
    ]
    .map(|(command, name)| (name.to_owned(), u64::from(command.opcode() as u32)))
    .to_vec();
    for (flag, name) in [
        (flags::READONLY, "READONLY"),
        (flags::SUSPEND, "SUSPEND"),
        (flags::PERSISTENT_DEV, "PERSISTENT_DEV"),
        (flags::STATUS_TABLE, "STATUS_TABLE"),
        (flags::ACTIVE_PRESENT, "ACTIVE_PRESENT"),
        (flags::INACTIVE_PRESENT, "INACTIVE_PRESENT"),
        (flags::BUFFER_FULL, "BUFFER_FULL"),
        (flags::SKIP_LOCKFS, "SKIP_LOCKFS"),
        (flags::NOFLUSH, "NOFLUSH"),
        (flags::QUERY_INACTIVE_TABLE, "QUERY_INACTIVE_TABLE"),
        (flags::UEVENT_GENERATED, "UEVENT_GENERATED"),
        (flags::UUID, "UUID"),
        (flags::SECURE_DATA, "SECURE_DATA"),
        (flags::DATA_OUT, "DATA_OUT"),
        (flags::INTERNAL_SUSPEND, "INTERNAL_SUSPEND"),
    ] {
        ours.push((format!("DM_{name}_FLAG"), flag.into()));
    }
    let mut put = |expression: &str, value: usize| ours.push((expression.to_owned(), value as u64));
    put("DM_DEFERRED_REMOVE", flags::DEFERRED_REMOVE as usize);
    put("DM_IMA_MEASUREMENT_FLAG", flags::IMA_MEASUREMENT as usize);
    put("sizeof(struct dm_ioctl)", HEADER);
    macro_rules! fields {
        ($($field:ident),*) => {
            $(put(concat!("offsetof(struct dm_ioctl, ", stringify!($field), ")"), offset_of!(Layout, $field));)*
        };
    }
    fields!(
        version,
        data_size,
        data_start,
        target_count,
        open_count,
        flags,
        event_nr,
        padding,
        dev,
        name,
        uuid,
        data
    );
    put("sizeof(struct dm_target_spec)", wire::SPEC);
    put("offsetof(struct dm_target_spec, sector_start)", wire::SPEC_START);
    put("offsetof(struct dm_target_spec, length)", wire::SPEC_LENGTH);
    put("offsetof(struct dm_target_spec, next)", wire::SPEC_NEXT);
    put("offsetof(struct dm_target_spec, target_type)", wire::SPEC_TYPE);
    put("offsetof(struct dm_name_list, name)", wire::NAME_LIST);
    put("offsetof(struct dm_name_list, next)", 8);
    put("offsetof(struct dm_target_versions, version)", 4);
    put("offsetof(struct dm_target_versions, name)", wire::VERSIONS);
    put("offsetof(struct dm_target_deps, dev)", 8);
    put("offsetof(struct dm_target_msg, message)", 8);
    put("DM_NAME_LIST_FLAG_HAS_UUID", 1);
    put("DM_NAME_LIST_FLAG_DOESNT_HAVE_UUID", 2);
    ours
}

#[test]
fn numbers_and_places_are_those_of_the_kernels_header() {
    let ours = ours();
    let folder = tempfile::tempdir().expect("a folder");
    let mut source =
        "#include <stddef.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n#include <linux/dm-ioctl.h>\nint main(void) {\n".to_owned();
    for (expression, _) in &ours {
        source += &format!("printf(\"%s=%llu\\n\", \"{expression}\", (unsigned long long)({expression}));\n");
    }
    source += "}\n";
    std::fs::write(folder.path().join("header.c"), source).expect("written");
    let compiled = Program::new("gcc")
        .args(["-o", "header", "header.c"])
        .current_dir(&folder)
        .output()
        .expect("gcc starts: run scripts/setup-tests");
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let said = Program::new(folder.path().join("header")).output().expect("it starts");
    let said = String::from_utf8(said.stdout).expect("text");
    let theirs: BTreeMap<&str, u64> = said
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(expression, value)| (expression, value.parse().expect("a number")))
        .collect();
    for (expression, value) in &ours {
        assert_eq!(theirs.get(expression.as_str()), Some(value), "{expression}");
    }
}
