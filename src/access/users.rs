//! The people and machines that may come in: the users file, strictly read and written.
//!
//! Owns its format and what a name may be. Pure: text comes in and goes out; whose file it is, and who may read it, is
//! `cli::access`. A message never repeats a value: somebody may have typed a password there.

use std::fmt::Write as _;

use subtle::ConstantTimeEq as _;

use super::{Role, Who, password::Password, secret};

/// It stands in the audit trail.
const NAME_CHARS_MAX: usize = 64;
/// More are an organisation, which has a proxy of its own.
const ENTRIES_MAX: usize = 256;
/// So many entries, written generously.
pub const BYTES_MAX: u64 = 256 << 10;
/// Names that the audit trail has for nobody of the file.
const TAKEN: [&str; 3] = ["local", "sightline", "unknown"];

/// Somebody with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Unique in the file.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// What his password is compared with.
    pub password: Password,
}

/// A machine, which shows a token with every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Unique in the file.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Of the token itself, which is random and long: it needs no slow hash.
    pub sha256: [u8; 32],
}

/// Everybody who may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    users: Vec<User>,
    tokens: Vec<Token>,
}

/// Why a users file, or a change of it, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// Not TOML.
    #[error("line {line}: it is not TOML; write it with sightline user add")]
    Syntax {
        /// Line of the file, from 1.
        line: usize,
    },
    /// A value that may not stand there.
    #[error("\"{path}\": {expected}")]
    Value {
        /// The key's path.
        path: String,
        /// What may stand there.
        expected: String,
    },
    /// A name that is no name.
    #[error(
        "a name has letters, digits, - _ and . only, at most 64, and is not local, sightline or unknown"
    )]
    Name,
    /// A name that is there already.
    #[error("{0} is there already; sightline user remove takes it out")]
    Taken(String),
    /// A name that is not there.
    #[error("there is nobody of the name {0}; sightline user list shows all")]
    Nobody(String),
    /// A file that grows without end.
    #[error("it may have 256 users and tokens at most")]
    Full,
}

impl Users {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let root: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(start).filter(|&byte| byte == b'\n').count() + 1;
            UsersError::Syntax { line }
        })?;
        let mut all = Self::default();
        for (table, value) in &root {
            let keys: [&str; 3] = match table.as_str() {
                "user" => ["name", "role", "password"],
                "token" => ["name", "role", "sha256"],
                _ => return Err(wrong(plain(table), "it has [[user]] and [[token]] only")),
            };
            let items = value.as_array().ok_or_else(|| {
                wrong(plain(table), format!("each is a table of its own: [[{table}]]"))
            })?;
            for (index, item) in items.iter().enumerate() {
                let path = format!("{table}[{index}]");
                let [name, role, proof] = texts(&path, item, keys)?;
                let role: Role = role
                    .parse()
                    .map_err(|expected: &str| wrong(format!("{path}.role"), expected))?;
                let of = |error: UsersError| match error {
                    UsersError::Value { .. } | UsersError::Syntax { .. } => error,
                    UsersError::Name
                    | UsersError::Taken(_)
                    | UsersError::Nobody(_)
                    | UsersError::Full => wrong(format!("{path}.name"), error.to_string()),
                };
                let name = name.to_owned();
                if table == "user" {
                    let password = Password::parse(proof)
                        .map_err(|expected| wrong(format!("{path}.password"), expected))?;
                    all.add_user(User { name, role, password }).map_err(of)?;
                } else {
                    let sha256 = secret::from_hex(proof).ok_or_else(|| {
                        wrong(format!("{path}.sha256"), "it is a SHA-256: 64 hexadecimal digits")
                    })?;
                    all.add_token(Token { name, role, sha256 }).map_err(of)?;
                }
            }
        }
        Ok(all)
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# Who may come in, and as what. Written by `sightline user`; passwords and tokens themselves are not in it.\n",
        );
        let mut entry = |table: &str, name: &str, role: Role, key: &str, proof: &str| {
            // Names, roles and hashes have no character that TOML's strings escape.
            let role = role.name();
            let _infallible = write!(
                text,
                "\n[[{table}]]\nname = \"{name}\"\nrole = \"{role}\"\n{key} = \"{proof}\"\n"
            );
        };
        for User { name, role, password } in &self.users {
            entry("user", name, *role, "password", password.as_str());
        }
        for Token { name, role, sha256 } in &self.tokens {
            entry("token", name, *role, "sha256", &bundle::fingerprint::hex(sha256));
        }
        text
    }

    /// Everybody with a password, in the file's order.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// Every machine, in the file's order.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Whether nobody could come in.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.tokens.is_empty()
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Whose token has that SHA-256; it takes as long whichever it is.
    pub fn machine(&self, sha256: &[u8; 32]) -> Option<Who> {
        let mut found = None;
        for token in &self.tokens {
            if bool::from(token.sha256.ct_eq(sha256)) {
                found = Some(Who { name: token.name.clone(), role: token.role });
            }
        }
        found
    }

    /// One more with a password.
    pub fn add_user(&mut self, user: User) -> Result<(), UsersError> {
        self.check(&user.name)?;
        self.users.push(user);
        Ok(())
    }

    /// One more with a token.
    pub fn add_token(&mut self, token: Token) -> Result<(), UsersError> {
        self.check(&token.name)?;
        self.tokens.push(token);
        Ok(())
    }

    /// Takes a user or a token out.
    pub fn remove(&mut self, name: &str) -> Result<(), UsersError> {
        let before = self.len();
        self.users.retain(|user| user.name != name);
        self.tokens.retain(|token| token.name != name);
        if self.len() == before { Err(UsersError::Nobody(plain(name))) } else { Ok(()) }
    }

    fn len(&self) -> usize {
        self.users.len() + self.tokens.len()
    }

    /// Whether one of that name may be added.
    pub fn check(&self, name: &str) -> Result<(), UsersError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty()
            || name.len() > NAME_CHARS_MAX
            || !name.chars().all(allowed)
            || TAKEN.contains(&name)
        {
            return Err(UsersError::Name);
        }
        let names = self.users.iter().map(|user| &user.name);
        if names.chain(self.tokens.iter().map(|token| &token.name)).any(|other| other == name) {
            return Err(UsersError::Taken(name.into()));
        }
        if self.len() >= ENTRIES_MAX { Err(UsersError::Full) } else { Ok(()) }
    }
}

/// The three texts of an entry.
fn texts<'a>(
    path: &str,
    item: &'a toml::Value,
    keys: [&str; 3],
) -> Result<[&'a str; 3], UsersError> {
    let known = keys.join(", ");
    let entries =
        item.as_table().ok_or_else(|| wrong(path, format!("it is a table with {known}")))?;
    if let Some(unknown) = entries.keys().find(|key| !keys.contains(&key.as_str())) {
        return Err(wrong(
            format!("{path}.{}", plain(unknown)),
            format!("unknown; known are {known}"),
        ));
    }
    let text = |key: &str| {
        let value = entries.get(key).ok_or_else(|| wrong(format!("{path}.{key}"), "missing"))?;
        value.as_str().ok_or_else(|| wrong(format!("{path}.{key}"), "it is a text in quotes"))
    };
    Ok([text(keys[0])?, text(keys[1])?, text(keys[2])?])
}

fn wrong(path: impl Into<String>, expected: impl Into<String>) -> UsersError {
    UsersError::Value { path: path.into(), expected: expected.into() }
}

fn plain(text: &str) -> String {
    crate::fault::plain(text, NAME_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eva() -> User {
        let password = Password::hash("a good password", &[7; 16]).unwrap();
        User { name: "eva".into(), role: Role::Operator, password }
    }

    fn scraper() -> Token {
        let sha256 = secret::sha256("a token");
        Token { name: "prometheus".into(), role: Role::Viewer, sha256 }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut users = Users::default();
        assert!(users.is_empty());
        assert_eq!(Users::parse(&users.text()).unwrap(), users);
        users.add_user(eva()).unwrap();
        users.add_token(scraper()).unwrap();
        let text = users.text();
        assert_eq!(Users::parse(&text).unwrap(), users);
        assert!(!text.contains("a good password") && !text.contains("a token"));
        assert_eq!(users.machine(&secret::sha256("a token")).unwrap().name, "prometheus");
        assert_eq!(users.machine(&secret::sha256("another")), None);
        users.remove("eva").unwrap();
        assert_eq!(users.user("eva"), None);
        assert_eq!(users.remove("eva"), Err(UsersError::Nobody("eva".into())));
    }

    #[test]
    fn a_mistake_is_told_with_its_place_and_without_what_was_typed() {
        let check = |text: &str, expected: &str| {
            let told = Users::parse(text).unwrap_err().to_string();
            assert_eq!(told, expected, "{text}");
            assert!(!told.contains("hunter2"), "{told}");
        };
        let eva = "[[user]]\nname = \"eva\"\nrole = \"operator\"\n";
        check(
            &format!("{eva}password = hunter2\n"),
            "line 4: it is not TOML; write it with sightline user add",
        );
        let hashed = "it is an argon2id hash; write it with sightline user add";
        check(
            &format!("{eva}password = \"hunter2\"\n"),
            &format!("\"user[0].password\": {hashed}"),
        );
        check(&format!("{eva}password = 5\n"), "\"user[0].password\": it is a text in quotes");
        check(eva, "\"user[0].password\": missing");
        check(
            &format!("{eva}pasword = \"hunter2\"\n"),
            "\"user[0].pasword\": unknown; known are name, role, password",
        );
        check("[user]\nname = \"eva\"\n", "\"user\": each is a table of its own: [[user]]");
        check("[[users]]\nname = \"eva\"\n", "\"users\": it has [[user]] and [[token]] only");
        check(
            "[[token]]\nname = \"a\"\nrole = \"viewer\"\nsha256 = \"12\"\n",
            "\"token[0].sha256\": it is a SHA-256: 64 hexadecimal digits",
        );
        check(
            "[[token]]\nname = \"a\"\nrole = \"admin\"\nsha256 = \"12\"\n",
            "\"token[0].role\": expected \"viewer\", \"operator\" or \"engineer\"",
        );
    }

    #[test]
    fn a_name_is_given_once_and_cannot_be_taken_for_another_thing() {
        let mut users = Users::default();
        users.add_user(eva()).unwrap();
        assert_eq!(users.add_user(eva()), Err(UsersError::Taken("eva".into())));
        let long = "x".repeat(65);
        for name in ["", "local", "sightline", "unknown", "a b", "a\nb", "é", "\"", &long] {
            let token = Token { name: name.into(), ..scraper() };
            assert_eq!(users.add_token(token), Err(UsersError::Name), "{name:?}");
        }
        let twice = format!("{0}{0}", users.text());
        assert!(Users::parse(&twice).unwrap_err().to_string().starts_with("\"user[1].name\": eva"));
        for index in 1..ENTRIES_MAX {
            users.add_token(Token { name: format!("m{index}"), ..scraper() }).unwrap();
        }
        assert_eq!(users.add_token(scraper()), Err(UsersError::Full));
        assert!((users.text().len() as u64) < BYTES_MAX);
    }
}
