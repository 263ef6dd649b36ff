//! Comments as people see them: rendered as GitHub renders Markdown, in a real browser, as wide as a desk and as a phone.
//! Nothing of the verdict, of dangers, of the table or of `file:line` may be cut off.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How wide a comment is where it is read: on a desk, and on a phone.
const WIDTHS: [u32; 2] = [1280, 390];

/// What forges put around a comment: their fonts, tables that scroll, code that wraps, fences that scroll.
const STYLE: &str = "
body { margin: 0; }
.comment { box-sizing: border-box; padding: 16px; border: 1px solid #d0d7de; overflow: hidden;
  font: 14px/1.5 -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif; word-wrap: break-word; }
.comment h2 { font-size: 1.5em; border-bottom: 1px solid #d0d7de; }
.comment table { display: block; width: max-content; max-width: 100%; overflow: auto; border-collapse: collapse; }
.comment th, .comment td { padding: 6px 13px; border: 1px solid #d0d7de; }
.comment code { padding: .2em .4em; font: 85% ui-monospace, 'DejaVu Sans Mono', monospace; background: #eff1f3;
  white-space: break-spaces; }
.comment pre { padding: 16px; overflow: auto; font-size: 85%; background: #f6f8fa; }
.comment pre code { padding: 0; font-size: 100%; white-space: pre; }
.comment ul { padding-left: 2em; }";

/// Opens every fold, and names each text that reaches beyond its comment, but for what is in a fence, which scrolls.
const MEASURE: &str = "
const cut = [];
for (const fold of document.querySelectorAll('details')) fold.open = true;
for (const comment of document.querySelectorAll('.comment')) {
  const edge = comment.getBoundingClientRect().right - 1;
  const texts = document.createTreeWalker(comment, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    if (text.parentElement.closest('pre') || !text.data.trim()) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const rectangle of range.getClientRects()) {
      if (edge < rectangle.right) { cut.push(comment.id + ': ' + text.data.slice(0, 80)); break; }
    }
  }
}
document.body.replaceChildren(document.createElement('pre'));
document.body.firstChild.textContent = 'MEASURED ' + JSON.stringify(cut);";

/// A Python that renders Markdown as GitHub does, and a browser: what the environment names, or what an earlier
/// `tests/all` installed.
fn tools() -> Option<(PathBuf, &'static str)> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/forge-python/bin/python");
    let python = std::env::var_os("MOORLINE_FORGE_PYTHON").map_or(installed, PathBuf::from);
    let answers = |program: &Path, words: &[&str]| {
        let mut command = Command::new(program);
        let run = command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    if !answers(&python, &["-c", "import cmarkgfm"]) {
        return None;
    }
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let browser = browsers.into_iter().find(|name| answers(Path::new(name), &["--version"]))?;
    Some((python, browser))
}

/// Every comment that a file of this repository holds, by name.
fn comments() -> Vec<(String, String)> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut found = Vec::new();
    for (folder, extension) in [("comments", "md"), ("pulls", "txt")] {
        for entry in std::fs::read_dir(tests.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(path.extension().is_some_and(|it| it == extension), "{}", path.display());
            let comment = match text.split_once("--- comment\n") {
                Some((_, rest)) => rest.split("--- after\n").next().unwrap_or(rest).to_owned(),
                None => text,
            };
            if !comment.trim().is_empty() {
                found.push((name, comment));
            }
        }
    }
    found.sort();
    found
}

/// As HTML, in one page for each width.
fn page(python: &Path, folder: &Path, width: u32) -> PathBuf {
    let script = "import sys, cmarkgfm\nfor path in sys.argv[1:]:\n    text = open(path).read()\n    html = cmarkgfm.github_flavored_markdown_to_html(text, cmarkgfm.Options.CMARK_OPT_UNSAFE)\n    open(path + '.html', 'w').write(html)\n";
    let mut command = Command::new(python);
    command.args(["-c", script]);
    let all = comments();
    for (name, text) in &all {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        command.arg(file);
    }
    assert!(command.status().unwrap().success());
    let mut html = format!("<!doctype html><meta charset=utf-8><style>{STYLE}</style><body>");
    for (name, _) in &all {
        let rendered = std::fs::read_to_string(folder.join(format!("{name}.html"))).unwrap();
        write!(html, "<div class=comment id={name} style='width: {width}px'>{rendered}</div>")
            .unwrap();
    }
    write!(html, "<script>{MEASURE}</script>").unwrap();
    let file = folder.join(format!("{width}.html"));
    std::fs::write(&file, html).unwrap();
    file
}

#[test]
fn nothing_that_a_reviewer_must_read_is_cut_off() {
    let Some((python, browser)) = tools() else {
        let missing = "a browser (chromium), and MOORLINE_FORGE_PYTHON with cmarkgfm";
        let must = std::env::var_os("MOORLINE_MUST_RENDER").is_some();
        assert!(!must, "comments were not rendered: this needs {missing}");
        println!("skipped: this needs {missing}");
        return;
    };
    // As many as there are kinds, and the comments of the report itself.
    assert!(50 <= comments().len(), "only {} comments were found", comments().len());
    let folder = tempfile::tempdir().unwrap();
    for width in WIDTHS {
        let page = page(&python, folder.path(), width);
        let output = Command::new(browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg(format!("file://{}", page.display()))
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let (_, cut) = shown.split_once("MEASURED ").unwrap_or_else(|| {
            panic!("the browser did not measure: {}", String::from_utf8_lossy(&output.stderr))
        });
        let cut = cut.split("</pre>").next().unwrap();
        assert_eq!(cut, "[]", "at {width} pixels it is cut off");
    }
}
