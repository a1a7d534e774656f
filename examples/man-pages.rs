//! Writes the manual pages into a folder: `cargo run --example man-pages man`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: man-pages FOLDER");
        return ExitCode::FAILURE;
    };
    let pages = match luksmith::manual::man_pages() {
        Ok(pages) => pages,
        Err(problem) => {
            eprintln!("man-pages: {problem}");
            return ExitCode::FAILURE;
        }
    };
    for (name, page) in pages {
        if let Err(error) = std::fs::write(folder.join(name), page) {
            eprintln!("man-pages: {name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
