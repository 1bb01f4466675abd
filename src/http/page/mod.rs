//! The operator's page: files that are part of the binary.
//!
//! Owns which files there are, their types, and how a browser keeps them. They hold no data and are served without login:
//! the page asks the API, and shows a login form where it is told to. Nothing in them comes from another site, and nothing
//! is inline, so that a strict content security policy holds.

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

/// A file of the page.
#[derive(Clone, Copy)]
struct File {
    /// Where it is served.
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const MANIFEST: &str = "application/manifest+json";

/// Every file; below `files/` each lies where its path says.
const FILES: [File; 14] = [
    File { path: "/", kind: HTML, text: include_str!("files/index.html") },
    File { path: "/page.css", kind: STYLE, text: include_str!("files/page.css") },
    File { path: "/page.js", kind: SCRIPT, text: include_str!("files/page.js") },
    File { path: "/page/api.js", kind: SCRIPT, text: include_str!("files/page/api.js") },
    File {
        path: "/page/calibration.js",
        kind: SCRIPT,
        text: include_str!("files/page/calibration.js"),
    },
    File { path: "/page/camera.js", kind: SCRIPT, text: include_str!("files/page/camera.js") },
    File { path: "/page/dom.js", kind: SCRIPT, text: include_str!("files/page/dom.js") },
    File { path: "/page/heat.js", kind: SCRIPT, text: include_str!("files/page/heat.js") },
    File { path: "/page/picture.js", kind: SCRIPT, text: include_str!("files/page/picture.js") },
    File { path: "/page/rejects.js", kind: SCRIPT, text: include_str!("files/page/rejects.js") },
    File { path: "/page/theme.js", kind: SCRIPT, text: include_str!("files/page/theme.js") },
    File { path: "/page/trend.js", kind: SCRIPT, text: include_str!("files/page/trend.js") },
    File { path: "/page/verdict.js", kind: SCRIPT, text: include_str!("files/page/verdict.js") },
    File { path: "/page/words.js", kind: SCRIPT, text: include_str!("files/page/words.js") },
];

/// What belongs to a page that is put on a phone's home screen.
const ICONS: [File; 2] = [
    File { path: "/icon.svg", kind: PICTURE, text: include_str!("files/icon.svg") },
    File {
        path: "/manifest.webmanifest",
        kind: MANIFEST,
        text: include_str!("files/manifest.webmanifest"),
    },
];

/// The files' routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().chain(ICONS).fold(Router::new(), |router, file| {
        let tag = tag(file.text);
        let sent = move |headers: HeaderMap| std::future::ready(answer(&file, tag, &headers));
        router.route(file.path, get(sent))
    })
}

/// A strong entity tag: another text has another.
fn tag(text: &str) -> [u8; 18] {
    let digest = Sha256::digest(text.as_bytes());
    let mut tag = [b'"'; 18];
    for (at, byte) in digest.iter().take(8).enumerate() {
        for (offset, nibble) in [byte >> 4, byte & 15].into_iter().enumerate() {
            tag[1 + 2 * at + offset] = b"0123456789abcdef"[usize::from(nibble)];
        }
    }
    tag
}

/// The file, or that the one which the browser has is still right.
fn answer(file: &File, tag: [u8; 18], headers: &HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).map_or(&[][..], HeaderValue::as_bytes);
    let is_known = known.split(|byte| *byte == b',').any(|one| one.trim_ascii() == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, file.kind)], file.text).into_response()
    };
    let answered = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_bytes(&tag) {
        answered.insert(header::ETAG, tag);
    }
    // Kept, and asked about each time: after an update no old module meets a new one.
    answered.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_names_is_served() {
        let paths: Vec<&str> = FILES.iter().chain(&ICONS).map(|file| file.path).collect();
        for file in FILES.iter().chain(&ICONS) {
            let named = file.text.split('"').filter(|word| {
                [".js", ".css", ".svg", ".webmanifest"].iter().any(|end| word.ends_with(end))
                    && !word.contains(' ')
            });
            for name in named {
                let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let path = name
                    .strip_prefix("./")
                    .map_or(name.to_owned(), |name| format!("{folder}/{name}"));
                assert!(paths.contains(&path.as_str()), "{} names {name}", file.path);
            }
        }
    }

    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        let page = FILES[0].text;
        for word in ["<style", "style=", "onclick=", "javascript:", "<script>", "http:", "https:"] {
            assert!(!page.contains(word), "index.html says {word}");
        }
        for file in &FILES {
            let foreign = file.text.replace("http://www.w3.org/2000/svg", "").contains("://");
            assert!(!foreign, "{} names another site", file.path);
        }
    }

    #[test]
    fn a_file_is_sent_once_and_then_known_by_its_tag() {
        let file = &FILES[0];
        let tag = tag(file.text);
        let check = |sent: Option<&str>, expected: StatusCode| {
            let mut headers = HeaderMap::new();
            if let Some(sent) = sent {
                headers.insert(header::IF_NONE_MATCH, sent.parse().unwrap());
            }
            let response = answer(file, tag, &headers);
            assert_eq!(response.status(), expected, "{sent:?}");
            assert_eq!(response.headers()[header::ETAG].as_bytes(), tag);
        };
        let known = String::from_utf8(tag.to_vec()).unwrap();
        check(None, StatusCode::OK);
        check(Some("\"0123456789abcdef\""), StatusCode::OK);
        check(Some(&known), StatusCode::NOT_MODIFIED);
        check(Some(&format!("\"other\", {known}")), StatusCode::NOT_MODIFIED);
    }
}
