//! `sightline user`: who may come in, and as what.
//!
//! Owns the users file as it is written: whole or not at all, readable by its owner alone. A password is asked for without
//! an echo, or read from standard input; a token is shown once and kept nowhere.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
};

use bundle::{bounded, whole::folder_of};

use super::print;
use crate::{
    access::{
        Role,
        password::{self, Password},
        secret,
        users::{self, Token, User, Users, UsersError},
    },
    fault::{Class, Fault, one_line, plain},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add somebody with a password, which is asked for, or is the first line of standard input.
    Add(Named),
    /// Add a machine; its token is shown once.
    Token(Named),
    /// Show everybody.
    List(Filed),
    /// Take a user or a token out.
    Remove(Removed),
}

#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// Letters, digits, - _ and . only.
    name: String,

    /// What may be done: viewer, operator or engineer.
    #[arg(long)]
    role: Role,

    #[command(flatten)]
    filed: Filed,
}

#[derive(Debug, clap::Args)]
pub(super) struct Removed {
    /// The user or the token.
    name: String,

    #[command(flatten)]
    filed: Filed,
}

#[derive(Debug, clap::Args)]
pub(super) struct Filed {
    /// The users file, which http.users names.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    // Two at once would each write the file without the other's change.
    let _alone = match command {
        Command::Add(Named { filed, .. })
        | Command::Token(Named { filed, .. })
        | Command::Remove(Removed { filed, .. }) => Some(alone(&filed.file)?),
        Command::List(_) => None,
    };
    match command {
        Command::Add(Named { name, role, filed: Filed { file } }) => {
            let mut users = read(file)?;
            // First what is cheap to be wrong.
            users.check(name).map_err(|error| refused(file, &error))?;
            let password = hashed(&asked(name)?)?;
            let user = User { name: name.clone(), role: *role, password };
            users.add_user(user).map_err(|error| refused(file, &error))?;
            write(file, &users)?;
            print::line(&format!(
                "{name} may come in as {}; SIGHUP tells a running station",
                role.name()
            ))?;
        }
        Command::Token(Named { name, role, filed: Filed { file } }) => {
            let mut users = read(file)?;
            let token = secret::fresh().map_err(|error| no_randomness(&error))?;
            let added = Token { name: name.clone(), role: *role, sha256: secret::sha256(&token) };
            users.add_token(added).map_err(|error| refused(file, &error))?;
            write(file, &users)?;
            print::note("the token is shown this once: Authorization: Bearer ...");
            print::line(&token)?;
        }
        Command::List(Filed { file }) => {
            let users = found(file)?;
            for User { name, role, .. } in users.users() {
                print::line(&format!("user   {:<9} {name}", role.name()))?;
            }
            for Token { name, role, .. } in users.tokens() {
                print::line(&format!("token  {:<9} {name}", role.name()))?;
            }
        }
        Command::Remove(Removed { name, filed: Filed { file } }) => {
            let mut users = found(file)?;
            users.remove(name).map_err(|error| refused(file, &error))?;
            write(file, &users)?;
            print::line(&format!("{name} is out; SIGHUP tells a running station"))?;
            if users.is_empty() {
                print::note("nobody is left: a running station lets nobody in, and none starts");
            }
        }
    }
    Ok(())
}

/// Its folder's lock, which goes with the process: the file itself is exchanged for another.
fn alone(path: &Path) -> Result<File, Fault> {
    let locked = File::open(folder_of(path)).and_then(|folder| folder.lock().map(|()| folder));
    locked.map_err(|error| unusable(path, "written", &error))
}

/// The file as it is, or nobody where there is none yet.
fn read(path: &Path) -> Result<Users, Fault> {
    match bounded::text(path, users::BYTES_MAX) {
        Ok(text) => Users::parse(&text).map_err(|error| refused(path, &error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Users::default()),
        Err(error) => Err(unusable(path, "read", &error)),
    }
}

/// The file, which must be there.
fn found(path: &Path) -> Result<Users, Fault> {
    File::open(path).map_err(|error| unusable(path, "read", &error))?;
    read(path)
}

fn refused(path: &Path, error: &UsersError) -> Fault {
    Fault::new(Class::Configuration, format!("{}: {}", path.display(), one_line(error)))
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> Fault {
    let class = if what == "read" { Class::Configuration } else { Class::Output };
    Fault::new(class, format!("{} cannot be {what}: {error}", path.display()))
}

fn no_randomness(error: &io::Error) -> Fault {
    Fault::new(Class::Output, format!("the system gives no random numbers: {error}"))
}

/// A password from the person at the terminal, twice and without an echo, or from standard input.
fn asked(name: &str) -> Result<String, Fault> {
    let usage = |line: &str| Fault::new(Class::Usage, line);
    let unread = |error: io::Error| usage(&format!("the password cannot be read: {error}"));
    if io::stdin().is_terminal() {
        let name = plain(name, 64);
        let ask =
            |what: &str| rpassword::prompt_password(format!("{what} for {name}: ")).map_err(unread);
        let password = ask("password")?;
        if ask("the same again")? != password {
            return Err(usage("the two passwords differ; try again"));
        }
        return Ok(password);
    }
    let mut line = String::new();
    let most = password::BYTES_MAX as u64 + 2;
    io::stdin().lock().take(most).read_line(&mut line).map_err(unread)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn hashed(password: &str) -> Result<Password, Fault> {
    let salt = secret::bytes().map_err(|error| no_randomness(&error))?;
    Password::hash(password, &salt).map_err(|why| Fault::new(Class::Usage, why))
}

/// Whole or not at all, even where the power goes; readable by the owner alone, who stays who he was.
fn write(path: &Path, users: &Users) -> Result<(), Fault> {
    let folder = folder_of(path);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let aside = folder.join(name);
    let owner = std::fs::metadata(path).ok().map(|of| (of.uid(), of.gid()));
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        if let Some((user, group)) = owner
            && file.metadata()?.uid() != user
        {
            // Somebody with the right to it writes the service's file.
            fchown(&file, Some(user), Some(group))?;
        }
        file.write_all(users.text().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|error| {
        // It may never have been there.
        let _gone = std::fs::remove_file(&aside);
        unusable(path, "written", &error)
    })
}
