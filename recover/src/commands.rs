//! What each command does.

mod deal;
mod identity;
mod key;
mod paper;
mod piece;
mod show;

use anyhow::Result;

use crate::arguments::Command;

pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Show { files, people_required } => show::show(&files, people_required),
        Command::Check(arguments) => piece::check(&arguments),
        Command::Verify { file, holder, nonce, proof } => piece::verify(&file, &holder, &nonce, &proof),
        Command::Deal(arguments) => deal::deal(&arguments),
        Command::Identity { out } => identity::make(&out),
        Command::Paper(paper) => paper::run(&paper),
        Command::Combine { sources, export, path, target, password_file } => {
            key::combine(&sources, (export, &path), &target, password_file.as_deref())
        }
        Command::SignSweep { sources, path, message } => key::sign_sweep(&sources, &path, &message),
    }
}
