//! Bytes of a manifest as text: UTF-8, or an error that says where it is not and what it seems to be.

use std::path::Path;

use super::Problem;
use super::locate::location_of_span;

/// Marks at the beginning of a file; the longer ones first, since one begins with another.
const MARKS: [(&[u8], &str); 4] = [
    (&[0xFF, 0xFE, 0, 0], "UTF-32"),
    (&[0, 0, 0xFE, 0xFF], "UTF-32"),
    (&[0xFF, 0xFE], "UTF-16"),
    (&[0xFE, 0xFF], "UTF-16"),
];

/// The text of the file at `path`.
pub(super) fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Problem> {
    let name = path.display();
    let marked = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark));
    // Every other byte of English in UTF-16 is zero.
    let unmarked = bytes.len() > 3 && (bytes[..2].contains(&0) || bytes[2..4].contains(&0));
    let wide = marked
        .map(|(_, encoding)| *encoding)
        .or(unmarked.then_some("UTF-16"));
    if let Some(encoding) = wide {
        let problem = Problem::new(format!("`{name}` is {encoding}, and a manifest is UTF-8"));
        return Err(problem.hint(format!(
            "save it as UTF-8: `iconv -f {encoding} -t UTF-8 {name} > utf8.toml`, in PowerShell `Set-Content -Encoding utf8`"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let start = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let byte = bytes[start];
        let shown = String::from_utf8_lossy(bytes);
        let problem = Problem {
            location: Some(Box::new(location_of_span(path, &shown, &(start..start + 1)))),
            ..Problem::new(format!("`{name}` is not UTF-8: it has the byte 0x{byte:02X} here"))
        };
        // What has letters in UTF-8 before is in no other encoding.
        if !bytes[..start].is_ascii() {
            return problem.hint("remove the byte, or save the file as UTF-8");
        }
        let (encoding, long) = match bytes.iter().any(|byte| (0x80..0xA0).contains(byte)) {
            true => ("CP1252", "Windows-1252"),
            false => ("LATIN1", "Latin-1 (ISO 8859-1)"),
        };
        problem.hint(format!(
            "it seems to be {long}: save it as UTF-8, for example `iconv -f {encoding} -t UTF-8 {name} > utf8.toml`"
        ))
    })
}
