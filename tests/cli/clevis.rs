//! Debian's clevis with our program as its `cryptsetup`: it binds, lists, opens, renews and unbinds, by a Tang server, a TPM
//! and a share of both. `clevis luks unlock` is `clevis luks pass` and a mapping: the first is here, and the command line of the
//! second in tests/guest/contract.sh. All of clevis, with jose, curl and a TPM, would make the start of each guest slower.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::common::{CRYPTSETUP, OURS};

/// A server, which ends with the test.
struct Server(Child);

impl Server {
    fn start(folder: &Path, port: u16, line: &str) -> Self {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().expect("a program"));
        let child = command
            .args(words)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let server = Self(child.unwrap_or_else(|error| panic!("{line}: {error}")));
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{line}: does not listen on {port}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free now, and so is the one behind it.
fn port() -> u16 {
    for _ in 0..100 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        if let Some(next) = port.checked_add(1)
            && TcpListener::bind(("127.0.0.1", next)).is_ok()
        {
            return port;
        }
    }
    panic!("no two free ports");
}

/// Runs a line of shell, in which our program is `cryptsetup`.
fn sh(folder: &Path, tpm: u16, line: &str) -> String {
    let path = format!("{}/bin:{}", folder.display(), std::env::var("PATH").expect("a path"));
    let output = Command::new("timeout")
        .args(["120", "bash", "-c", line])
        .env("PATH", path)
        .env("TPM2TOOLS_TCTI", format!("swtpm:host=127.0.0.1,port={tpm}"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{line}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
fn clevis_binds_and_opens_with_our_program() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path();
    for name in ["bin", "db", "tpm"] {
        fs::create_dir(path.join(name)).expect("a folder");
    }
    symlink(OURS, path.join("bin/cryptsetup")).expect("a link");
    fs::write(path.join("k"), "k").expect("a key");
    // The port behind that of the TPM is for its control.
    let (tang, tpm) = (port(), port());
    let control = tpm + 1;
    sh(path, tpm, "/usr/libexec/tangd-keygen db");
    let line = format!("socat TCP-LISTEN:{tang},bind=127.0.0.1,reuseaddr,fork EXEC:bin/tangd");
    fs::write(path.join("bin/tangd"), "#!/bin/sh\nexec /usr/libexec/tangd db\n").expect("a script");
    sh(path, tpm, "chmod 755 bin/tangd");
    let _tang = Server::start(path, tang, &line);
    let line = format!(
        "swtpm socket --tpmstate dir=tpm --tpm2 --ctrl type=tcp,port={control} --server type=tcp,port={tpm} \
         --flags not-need-init,startup-clear"
    );
    let _tpm = Server::start(path, control, &line);
    let url = format!("http://127.0.0.1:{tang}");
    sh(path, tpm, &format!("curl -sf {url}/adv >adv"));
    let pins = [
        ("tang", format!(r#"{{"url":"{url}","adv":"adv"}}"#)),
        ("tpm2", r#"{"pcr_ids":"7"}"#.to_owned()),
        (
            "sss",
            format!(r#"{{"t":2,"pins":{{"tang":[{{"url":"{url}","adv":"adv"}}],"tpm2":{{}}}}}}"#),
        ),
    ];
    for version in [1, 2] {
        sh(path, tpm, "rm -f v; truncate -s 20M v");
        let cheap = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";
        sh(
            path,
            tpm,
            &format!("cryptsetup luksFormat -q --type luks{version} {cheap} v k"),
        );
        for (pin, config) in &pins {
            sh(path, tpm, &format!("clevis luks bind -y -k k -d v {pin} '{config}'"));
        }
        let bound = sh(path, tpm, "clevis luks list -d v");
        for (line, (pin, _)) in bound.lines().zip(&pins) {
            assert!(line.contains(&format!(": {pin} ")), "LUKS{version}: {bound}");
        }
        assert_eq!(bound.lines().count(), pins.len(), "LUKS{version}: {bound}");
        sh(path, tpm, "clevis luks regen -q -d v -s 1");
        for slot in 1..=3 {
            sh(path, tpm, &format!("clevis luks pass -d v -s {slot} >p"));
            for program in ["cryptsetup", CRYPTSETUP] {
                sh(path, tpm, &format!("{program} open --test-passphrase -S {slot} -d p v"));
            }
        }
        sh(path, tpm, "clevis luks unbind -f -d v -s 3");
        assert_eq!(
            sh(path, tpm, "clevis luks list -d v").lines().count(),
            2,
            "LUKS{version}"
        );
    }
}
