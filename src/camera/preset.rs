//! A preset: the part of a pipeline that differs from camera to camera, with its parameters.
//!
//! Owns the format of `pipelines/*.toml`, the presets built into the binary, and how a parameter's value is put
//! into a launch line: it becomes one value, never more pipeline. Reads presets of one's own from a file.
//! Knows the text of a launch line and nothing of what GStreamer makes of it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::{Path, PathBuf},
};

use bundle::{bounded, geometry::Size};
use serde::Deserialize;

use super::secret;

/// The presets of this binary; of two for one name, the first is for a Jetson.
const BUILT_IN: [(&str, Platform, &str); 7] = [
    ("test", Platform::Any, include_str!("../../pipelines/test.toml")),
    ("files", Platform::Any, include_str!("../../pipelines/files.toml")),
    ("rtsp", Platform::Jetson, include_str!("../../pipelines/rtsp.jetson.toml")),
    ("rtsp", Platform::Any, include_str!("../../pipelines/rtsp.toml")),
    ("usb", Platform::Any, include_str!("../../pipelines/usb.toml")),
    ("csi", Platform::Any, include_str!("../../pipelines/csi.toml")),
    ("gige", Platform::Any, include_str!("../../pipelines/gige.toml")),
];

/// A launch line and its parameters; what is larger is another file.
const BYTES_MAX: u64 = 1 << 16;

/// The scaler whose result is nearest to the antialiased triangle that training used (`sightline check` measures it).
/// Without `add-borders=false` it would letterbox a frame of another shape, where training stretched it.
const SCALE: &str = "videoconvert ! videoscale method=bilinear2 add-borders=false ! video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1";
const CONVERT: &str = "videoconvert";

/// What the pipeline runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Any Linux machine.
    Any,
    /// An NVIDIA Jetson with its own GStreamer elements.
    Jetson,
}

impl Platform {
    /// The machine that this process runs on.
    pub fn here() -> Self {
        // Written by L4T's own packages, and by nothing else.
        if Path::new("/etc/nv_tegra_release").exists() { Self::Jetson } else { Self::Any }
    }
}

/// A preset file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What it plays, for people.
    pub description: String,
    /// Whether the source gives frames at its own pace, so that nothing downstream may pace them.
    pub live: bool,
    /// What to look at when it fails, for people; may name parameters as `launch` does.
    remedy: Option<String>,
    launch: String,
    stills: Option<String>,
    /// Brings the source's buffers to where elements of the processor can read them, where they are not there already:
    /// a region is cut out and a picture is turned after it.
    download: Option<String>,
    #[serde(default = "scale_default")]
    scale: String,
    #[serde(default = "convert_default")]
    convert: String,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    default: Option<String>,
    meaning: String,
}

fn scale_default() -> String {
    SCALE.into()
}

fn convert_default() -> String {
    CONVERT.into()
}

/// Why a preset cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresetError {
    /// No such preset.
    #[error("there is no preset \"{name}\": it is one of {}, or the path of a .toml file", names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Its file cannot be read.
    #[error("preset {} cannot be read: {cause}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Its file is no preset.
    #[error("preset {name}: {cause}")]
    Syntax {
        /// Its name or path.
        name: String,
        /// What the parser says.
        cause: String,
    },
    /// The configuration sets a parameter that the preset does not have.
    #[error("the preset has no parameter \"{name}\": it takes {known}")]
    UnknownParameter {
        /// The parameter.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A parameter without a default was not set.
    #[error("the preset's parameter \"{name}\" is missing: {meaning}")]
    MissingParameter {
        /// The parameter.
        name: String,
        /// What it means.
        meaning: String,
    },
    /// A value that no launch line can carry. It is not told: it may be a password.
    #[error("the preset's parameter \"{name}\" {expected}")]
    Value {
        /// The parameter.
        name: String,
        /// What it takes.
        expected: &'static str,
    },
    /// The launch line has a parameter where a value would be more pipeline.
    #[error(
        "the preset uses {{{name}}} beside a property: write property={{{name}}}, or capsfilter caps={{{name}}}"
    )]
    Misplaced {
        /// The parameter.
        name: String,
    },
    /// The launch line names a parameter that the preset does not declare.
    #[error("the preset uses {{{name}}} and does not declare it")]
    Undeclared {
        /// The parameter.
        name: String,
    },
}

/// The names of the presets built in.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = BUILT_IN.iter().map(|(name, ..)| *name).collect();
    names.dedup();
    names
}

impl Preset {
    /// The preset of that name for that platform, or the one in that file.
    pub fn find(name: &str, platform: Platform) -> Result<Self, PresetError> {
        let built_in = BUILT_IN.iter().find(|(known, needs, _)| {
            *known == name && (*needs == Platform::Any || *needs == platform)
        });
        if let Some((.., text)) = built_in {
            return Self::parse(name, text);
        }
        let path = Path::new(name);
        if path.extension().is_none() {
            return Err(PresetError::Unknown { name: name.into() });
        }
        let text = bounded::text(path, BYTES_MAX)
            .map_err(|error| PresetError::Read { path: path.into(), cause: error.to_string() })?;
        Self::parse(name, &text)
    }

    /// Every preset built in, for every platform, with its name.
    pub fn built_in() -> impl Iterator<Item = (&'static str, Result<Self, PresetError>)> {
        BUILT_IN.iter().map(|(name, _, text)| (*name, Self::parse(name, text)))
    }

    /// The preset of that text; errors name it `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self, PresetError> {
        toml::from_str(text).map_err(|error| PresetError::Syntax {
            name: name.into(),
            cause: error.message().replace('\n', ", "),
        })
    }

    /// The elements of all its launch lines, each once.
    pub fn elements(&self) -> Vec<String> {
        let Self { launch, stills, download, scale, convert, .. } = self;
        let lines = [Some(launch), stills.as_ref(), download.as_ref(), Some(scale), Some(convert)];
        let links = lines.into_iter().flatten().flat_map(|line| line.split(" ! "));
        let first = links.filter_map(|link| link.split_whitespace().next());
        let elements = first
            .filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)));
        let elements: std::collections::BTreeSet<_> = elements.map(Into::into).collect();
        elements.into_iter().collect()
    }

    /// The preset with a value for each of its parameters.
    pub fn with(&self, given: &BTreeMap<String, String>) -> Result<Filled<'_>, PresetError> {
        if let Some(name) = given.keys().find(|name| !self.parameters.contains_key(*name)) {
            let known: Vec<_> = self.parameters.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            return Err(PresetError::UnknownParameter { name: name.clone(), known });
        }
        let mut values = BTreeMap::new();
        for (name, parameter) in &self.parameters {
            let value = given.get(name).or(parameter.default.as_ref());
            let value = value.ok_or_else(|| PresetError::MissingParameter {
                name: name.clone(),
                meaning: parameter.meaning.clone(),
            })?;
            if value.chars().any(char::is_control) {
                let expected = "may have no control characters, such as line breaks";
                return Err(PresetError::Value { name: name.clone(), expected });
            }
            values.insert(name.clone(), value.clone());
        }
        Ok(Filled { preset: self, values })
    }
}

/// A preset whose parameters all have values.
#[derive(Clone, Debug)]
pub struct Filled<'a> {
    preset: &'a Preset,
    values: BTreeMap<String, String>,
}

impl Filled<'_> {
    /// A parameter's value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// What to look at when it fails.
    pub fn remedy(&self) -> Option<String> {
        let remedy = self.preset.remedy.as_ref()?;
        let told = substituted(remedy, |_, name| match self.value(name) {
            Some(value) => Ok::<_, Infallible>(value.into()),
            None => Ok(format!("{{{name}}}")),
        });
        told.ok().map(|told| secret::masked(&told))
    }

    /// The launch line of the source.
    pub fn source(&self) -> Result<String, PresetError> {
        self.fill(&self.preset.launch, None)
    }

    /// The launch line of a source that is fed with decoded images, where the preset knows one.
    pub fn stills(&self) -> Option<Result<String, PresetError>> {
        self.preset.stills.as_ref().map(|launch| self.fill(launch, None))
    }

    /// The launch line that brings the source's buffers into the processor's memory, where it takes one.
    pub fn download(&self) -> Result<Option<String>, PresetError> {
        self.preset.download.as_ref().map(|launch| self.fill(launch, None)).transpose()
    }

    /// The launch line of what comes after the source: to that size, or in the source's own.
    pub fn tail(&self, size: Option<Size>) -> Result<String, PresetError> {
        self.fill(if size.is_some() { &self.preset.scale } else { &self.preset.convert }, size)
    }

    /// The properties that are wholly a parameter's, with their values.
    pub fn properties(&self) -> Vec<(String, String)> {
        let Preset { launch, scale, convert, .. } = self.preset;
        let mut properties = Vec::new();
        for template in [launch, scale, convert] {
            let _infallible = substituted(template, |place, name| {
                if let (Place::Whole(property), Some(value)) = (place, self.value(name)) {
                    properties.push((property.to_owned(), value.to_owned()));
                }
                Ok::<_, Infallible>(String::new())
            });
        }
        properties
    }

    fn fill(&self, template: &str, size: Option<Size>) -> Result<String, PresetError> {
        substituted(template, |place, name| match (name, size) {
            ("width", Some(size)) => Ok(size.width.to_string()),
            ("height", Some(size)) => Ok(size.height.to_string()),
            _ => {
                let name_of = || name.to_owned();
                let value =
                    self.value(name).ok_or_else(|| PresetError::Undeclared { name: name_of() })?;
                match place {
                    Place::Whole(_) => Ok(escaped(value)),
                    Place::Part if !value.is_empty() && value.chars().all(is_word) => {
                        Ok(value.into())
                    }
                    Place::Part => {
                        let expected =
                            "is a part of a property here: letters, digits and _ - + . / only";
                        Err(PresetError::Value { name: name_of(), expected })
                    }
                    Place::Beside => Err(PresetError::Misplaced { name: name_of() }),
                }
            }
        })
    }
}

/// Where a parameter stands in a launch line.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// It is all of this property's value.
    Whole(&'a str),
    /// It is some of a property's value, or of a field of caps.
    Part,
    /// Anywhere else: the value would be an element, a link or a property's name.
    Beside,
}

impl<'a> Place<'a> {
    fn between(before: &'a str, after: &str) -> Self {
        let token = before.rsplit(char::is_whitespace).next().unwrap_or_default();
        let Some((property, begun)) = token.split_once('=') else { return Self::Beside };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == ':';
        let ends = after.chars().next().is_none_or(char::is_whitespace);
        match (property.chars().all(is_name), begun.is_empty(), ends) {
            (true, true, true) => Self::Whole(property),
            // Within quotes other rules hold.
            _ if token.contains(['"', '\'']) => Self::Beside,
            _ => Self::Part,
        }
    }
}

/// The template with each `{name}` replaced, once: what stands in a value is no parameter.
fn substituted<E>(
    template: &str,
    mut value: impl FnMut(Place<'_>, &str) -> Result<String, E>,
) -> Result<String, E> {
    let mut line = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        line.push_str(before);
        let until = template.len() - name.len() - after.len() - 2;
        line.push_str(&value(Place::between(&template[..until], after), name)?);
        rest = after;
    }
    line.push_str(rest);
    Ok(line)
}

/// What means nothing but itself, wherever in a launch line it stands.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-+./".contains(c)
}

/// One value of a launch line, whatever is in it: a `!` in a file name must not become a link.
///
/// Each special character has a backslash of its own, but for backslashes and quotes: GStreamer's scanner takes the
/// longest match it can find, so that a backslash at a value's end joins it with what comes next, and between quotes
/// with the next value, whatever lies between. These are written as numbers.
fn escaped(value: &str) -> String {
    if value.is_empty() {
        return "\"\"".into();
    }
    // The word is read as no text at all.
    let value =
        if value == "NULL" || value.contains(['"', '\\']) { &in_octal(value) } else { value };
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_ascii() && !is_word(c) && !":,=()".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// A text in the notation of `gst_value_deserialize`: in quotes, each byte as `\ooo`.
fn in_octal(value: &str) -> String {
    let bytes: String = value.bytes().map(|byte| format!("\\{byte:03o}")).collect();
    format!("\"{bytes}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(given: &[(&str, &str)]) -> BTreeMap<String, String> {
        given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn values_become_one_value_of_the_launch_line() {
        let preset = Preset::find("files", Platform::Any).unwrap();
        let check = |location: &str, expected: &str| {
            let filled = preset.with(&parameters(&[("location", location)])).unwrap().source();
            assert_eq!(filled.unwrap(), format!("filesrc location={expected} ! decodebin"));
        };
        check("belt.webm", "belt.webm");
        check("my parts.webm", "my\\ parts.webm");
        check("a ! fakesink", "a\\ \\!\\ fakesink");
        check("\"\\", "\\\"\\\\042\\\\134\\\"");
        check("Würfel.webm", "Würfel.webm");
        check("", "\"\"");
        check("NULL", "\\\"\\\\116\\\\125\\\\114\\\\114\\\"");
        // What `substituted` puts in is not looked at again.
        check("{rate}", "\\{rate\\}");
    }

    #[test]
    fn a_value_stands_where_it_cannot_become_pipeline() {
        let check = |launch: &str, value: &str, expected: &str| {
            let text = format!(
                "description = \"\"\nlive = false\nlaunch = {launch:?}\n[parameters.x]\nmeaning = \"\"\n"
            );
            let preset = Preset::parse("own", &text).unwrap();
            let line = preset.with(&parameters(&[("x", value)])).and_then(|filled| filled.source());
            assert_eq!(line.unwrap_or_else(|error| error.to_string()), expected, "{launch}");
        };
        check("a b={x} ! c", "1 2", "a b=1\\ 2 ! c");
        check("a b::c={x}", "1", "a b::c=1");
        check("a b=u://{x}/1 ! c", "host", "a b=u://host/1 ! c");
        check(
            "a ! video/x-raw,width={x},height=1 ! c",
            "8",
            "a ! video/x-raw,width=8,height=1 ! c",
        );
        let part = "the preset's parameter \"x\" is a part of a property here: letters, digits and _ - + . / only";
        check("a b=u://{x}/1", "h ! fakesink", part);
        check("a b=u://{x}/1", "", part);
        let beside =
            "the preset uses {x} beside a property: write property={x}, or capsfilter caps={x}";
        for launch in
            ["a ! {x} ! c", "{x}", "a {x}=1", "a b=\"{x}\"", "a b=\"u {x}\"", "a b='x{x}'"]
        {
            check(launch, "identity", beside);
        }
        check(
            "a b={x}",
            "two\nlines",
            "the preset's parameter \"x\" may have no control characters, such as line breaks",
        );
    }

    #[test]
    fn a_parameter_is_known_and_set_or_the_remedy_is_told() {
        let preset = Preset::find("files", Platform::Any).unwrap();
        let error = |given| preset.with(&parameters(given)).unwrap_err().to_string();
        assert!(error(&[]).starts_with("the preset's parameter \"location\" is missing: A video"));
        assert_eq!(
            error(&[("path", "x")]),
            "the preset has no parameter \"path\": it takes location, rate"
        );
        assert_eq!(
            Preset::find("gigi", Platform::Any).unwrap_err().to_string(),
            "there is no preset \"gigi\": it is one of test, files, rtsp, usb, csi, gige, or the path of a .toml file"
        );
    }

    #[test]
    fn a_jetson_has_its_own_pipelines() {
        let on = |platform| {
            let preset = Preset::find("rtsp", platform).unwrap();
            preset.with(&parameters(&[("location", "rtsp://camera")])).unwrap().source().unwrap()
        };
        assert!(on(Platform::Jetson).ends_with("nvv4l2decoder"));
        assert!(on(Platform::Any).ends_with("decodebin"));
    }
}
