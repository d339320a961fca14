//! The manual is built as a site with mdBook, and every link in it, in the README and on the site leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use mdbook_driver::MDBook;
use tempfile::TempDir;

/// A page of the site: where its links lead, and the places in it.
#[derive(Default)]
struct Site {
    links: Vec<String>,
    places: BTreeSet<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Values of an attribute in HTML.
fn values<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    let parts = html.split(start.as_str()).skip(1);
    parts.filter_map(|rest| rest.split('"').next()).collect()
}

/// Files below a folder that end so, by their paths from it.
fn below(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut open = vec![folder.to_owned()];
    let mut out = Vec::new();
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(&place).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => open.push(path),
                false if path.extension().is_some_and(|is| is == end) => {
                    out.push(path.strip_prefix(folder).expect("below").to_owned());
                }
                false => {}
            }
        }
    }
    out
}

/// A path without `.` and `..`
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

fn is_elsewhere(link: &str) -> bool {
    ["http://", "https://", "mailto:", "data:"]
        .iter()
        .any(|start| link.starts_with(start))
}

/// Links of these pages that lead nowhere; `exists` says whether there is a file that is no page.
fn dead(pages: &BTreeMap<PathBuf, Site>, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut out = Vec::new();
    for (path, page) in pages {
        for link in page.links.iter().filter(|link| !is_elsewhere(link)) {
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let here = path.parent().unwrap_or(Path::new(""));
            let target = match file.is_empty() {
                true => path.clone(),
                false => plain(&here.join(file)),
            };
            let found = match pages.get(&target) {
                Some(there) => place.is_empty() || there.places.contains(place),
                None => place.is_empty() && exists(&target),
            };
            if !found {
                out.push(format!("{}: {link}", path.display()));
            }
        }
    }
    out
}

#[test]
fn the_site_is_built_and_its_links_lead_somewhere() {
    let folder = TempDir::new().expect("a folder");
    let mut book = MDBook::load(root().join("docs")).expect("a book");
    book.config.build.build_dir = folder.path().to_owned();
    book.build().expect("it is built");
    let mut pages = BTreeMap::new();
    for path in below(folder.path(), "html") {
        let html = fs::read_to_string(folder.path().join(&path)).expect("a page");
        let links = [values(&html, "href"), values(&html, "src")].concat();
        let page = Site {
            links: links.into_iter().map(str::to_owned).collect(),
            places: values(&html, "id").into_iter().map(str::to_owned).collect(),
        };
        // The page for what is not there knows no place of its own.
        if path != Path::new("404.html") {
            pages.insert(path, page);
        }
    }
    assert!(pages.len() > 20, "{:?}", pages.keys());
    let dead = dead(&pages, &|path| folder.path().join(path).is_file());
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).expect("a summary");
    let listed: BTreeSet<&str> = summary.split("](").skip(1).collect();
    let listed: BTreeSet<&str> = listed.iter().filter_map(|r| r.split(')').next()).collect();
    let pages = below(&root().join("docs"), "md");
    let pages: BTreeSet<&str> = pages.iter().filter_map(|path| path.to_str()).collect();
    let pages: BTreeSet<&str> = pages.into_iter().filter(|p| *p != "SUMMARY.md").collect();
    assert_eq!(listed, pages);
}

/// The name that GitHub gives a heading as a place.
fn place(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    kept.collect()
}

/// A page as it is read without a site.
fn as_text(text: &str) -> Site {
    let mut page = Site::default();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        if line.starts_with('#') {
            page.places.insert(place(line));
        }
        let links = line.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split(')').next());
        page.links.extend(links.map(str::to_owned));
    }
    page
}

#[test]
fn links_lead_somewhere_where_pages_are_read_as_text() {
    let mut paths: Vec<PathBuf> = ["README.md", "CHANGELOG.md", "fixtures/README.md"]
        .iter()
        .map(PathBuf::from)
        .collect();
    let docs = below(&root().join("docs"), "md").into_iter();
    paths.extend(docs.map(|path| Path::new("docs").join(path)));
    let mut pages = BTreeMap::new();
    for path in paths {
        let text = fs::read_to_string(root().join(&path)).expect("a page");
        pages.insert(path, as_text(&text));
    }
    let dead = dead(&pages, &|path| root().join(path).exists());
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn a_link_to_nowhere_is_found() {
    let text = "# One place\n[a](b.md) [c](#one-place) [d](#no-place) [e](https://example.org)\n";
    let pages = BTreeMap::from([(PathBuf::from("x/a.md"), as_text(text))]);
    let found = dead(&pages, &|path| path == Path::new("x/z.md"));
    assert_eq!(found, ["x/a.md: b.md", "x/a.md: #no-place"]);
}
