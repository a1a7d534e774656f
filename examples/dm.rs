//! The device-mapper layer by itself: `dm VERB [NAME] [ARGUMENT…]`. The tests on a real kernel drive it beside dmsetup; it
//! also shows how the library is used.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use luksmith::block_device::signatures;
use luksmith::dm::udev::NoUdev;
use luksmith::dm::{
    DeviceId, DeviceName, DeviceUuid, Dm, Mangling, NewDevice, RemoveOptions, StatusOptions, SuspendOptions, TableText,
    UdevMode, UdevPolicy, Which,
};
use luksmith::mapping::{self, Mappings};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Box<dyn Error>> {
    if let ["probe", path] = words {
        for found in signatures::probe(path.as_ref())? {
            println!("{found} at {}", found.offset.get());
        }
        return Ok(());
    }
    let mut dm = Dm::open()?;
    let id = |text: &str| mapping::resolve(text, Mangling::Auto);
    match *words {
        ["version"] => println!("{}", dm.version()),
        ["policy"] => println!("{:?}", dm.udev_policy().mode),
        ["targets"] => {
            for (kind, version) in dm.target_versions()? {
                println!("{:<16} v{version}", kind.as_str());
            }
        }
        ["list"] => {
            for mapping in &Mappings::enumerate(&dm)? {
                let uuid = mapping.uuid.as_ref().map(ToString::to_string).unwrap_or_default();
                println!("{}:{}:{}:{uuid}", mapping.name, mapping.number, mapping.event_nr);
            }
        }
        ["info", device] => println!("{:#?}", dm.info(&id(device)?)?),
        ["uuid", uuid] => println!("{}", dm.info(&DeviceId::Uuid(DeviceUuid::new(uuid)?))?.name),
        ["table", device] => print_lines(&dm.table(&id(device)?, Which::Live)?.1, false)?,
        ["showkeys", device] => print_lines(&dm.table(&id(device)?, Which::Live)?.1, true)?,
        ["status", device] => print_lines(&dm.status(&id(device)?, StatusOptions::default())?.1, true)?,
        ["deps", device] => {
            for number in dm.deps(&id(device)?, Which::Live)? {
                println!("{number}");
            }
        }
        ["holders", device] => {
            for holder in mapping::users(&dm.info(&id(device)?)?) {
                println!("{holder}");
            }
        }
        ["create", name, uuid, table] => {
            let (name, table) = (
                DeviceName::mangled(name, Mangling::Auto)?,
                TableText::parse(table.as_bytes())?,
            );
            let uuid = (!uuid.is_empty()).then(|| DeviceUuid::new(uuid)).transpose()?;
            println!("{:?}", dm.create(&NewDevice::new(&name, uuid.as_ref(), &table))?.udev);
        }
        // As `create`, with a cookie that nobody completes.
        ["create-unheard", name, table] => {
            let (name, table) = (DeviceName::new(name)?, TableText::parse(table.as_bytes())?);
            let limit = Duration::from_secs(1);
            dm.set_udev_policy(UdevPolicy {
                mode: UdevMode::Sync,
                limit,
                ..dm.udev_policy()
            });
            println!("{:?}", dm.create(&NewDevice::new(&name, None, &table))?.udev);
        }
        ["create-unsynced", name, table] => {
            let (name, table) = (DeviceName::new(name)?, TableText::parse(table.as_bytes())?);
            let mode = UdevMode::Off(NoUdev::NotWanted);
            dm.set_udev_policy(UdevPolicy {
                mode,
                ..dm.udev_policy()
            });
            println!("{:?}", dm.create(&NewDevice::new(&name, None, &table))?.udev);
        }
        ["load", device, table] => drop(dm.load(&id(device)?, &TableText::parse(table.as_bytes())?, false)?),
        ["clear", device] => drop(dm.clear(&id(device)?)?),
        ["suspend", device] => drop(dm.suspend(&id(device)?, SuspendOptions::default())?),
        ["resume", device] => println!("{:?}", dm.resume(&id(device)?, SuspendOptions::default())?.udev),
        ["remove", device, ref how @ ..] => {
            let options = RemoveOptions {
                deferred: how.contains(&"deferred"),
                retry: how.contains(&"retry"),
            };
            println!("{:?}", dm.remove(&id(device)?, options)?);
        }
        ["cancel", device] => dm.cancel_deferred_remove(&id(device)?)?,
        ["rename", device, new] => println!("{:?}", dm.rename(&id(device)?, &DeviceName::new(new)?)?.udev),
        ["set-uuid", device, uuid] => drop(dm.set_uuid(&id(device)?, &DeviceUuid::new(uuid)?)?),
        ["message", device, sector, text] => {
            println!("{:?}", dm.message(&id(device)?, sector.parse()?, text.as_bytes())?)
        }
        ["wait", device, event, millis] => {
            let limit = Duration::from_millis(millis.parse()?);
            let info = dm.wait(&id(device)?, event.parse()?, Some(limit))?;
            println!("{:?}", info.map(|info| info.event_nr));
        }
        _ => return Err("not a verb with its arguments".into()),
    }
    Ok(())
}

fn print_lines(table: &TableText, keys: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in table.lines() {
        write!(out, "{} {} {} ", line.start.get(), line.length.get(), line.kind)?;
        let shown = line.shown();
        out.write_all(if keys { line.params } else { &shown })?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
