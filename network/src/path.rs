//! The dotted name of a parameter: PyTorch's key, safetensors' key and the ONNX initialiser's name.

use std::fmt;
use std::ops::Div;

/// A place in the network, such as `teacher.layer1.0.conv1`; the empty path is its root.
///
/// ```
/// use network::Path;
/// let at = Path::root() / "teacher" / "layer1" / 0;
/// assert_eq!(at.to_string(), "teacher.layer1.0");
/// assert_eq!(at.parameter("weight"), "teacher.layer1.0.weight");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The root of the network.
    pub fn root() -> Self {
        Self::default()
    }

    /// The full name of a parameter that lies here.
    pub fn parameter(&self, name: &str) -> String {
        (self / name).0
    }

    /// The dotted name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: fmt::Display> Div<S> for &Path {
    type Output = Path;

    fn div(self, name: S) -> Path {
        if self.0.is_empty() { Path(name.to_string()) } else { Path(format!("{}.{name}", self.0)) }
    }
}

impl<S: fmt::Display> Div<S> for Path {
    type Output = Path;

    fn div(self, name: S) -> Path {
        &self / name
    }
}
