//! `man`: the help texts as manual pages, one a command.

use super::{
    args::{Args, Man},
    failure::{Exit, Failure},
    outcome::here,
    render::{counted, say},
};
use clap::CommandFactory as _;
use clap_mangen::Man as Page;
use std::{
    fs,
    io::{self, Write as _},
};

pub(super) fn man(asked: &Man) -> Result<Exit, Failure> {
    let failed = |error: io::Error| Failure::new(Exit::Failed, "the manual could not be written").because(Some(&error));
    let pages = pages().map_err(failed)?;
    let Some(folder) = &asked.folder else {
        let (_, first) = &pages[0];
        io::stdout().write_all(first).map_err(failed)?;
        return Ok(Exit::Done);
    };
    fs::create_dir_all(folder).map_err(failed)?;
    for (name, page) in &pages {
        fs::write(folder.join(name), page).map_err(failed)?;
    }
    say("written", format!("{} in {}", counted(pages.len() as u64, "page"), here(folder).display()));
    Ok(Exit::Done)
}

/// Names of files and what is in them, that of the whole first.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut whole = Args::command();
    whole.build();
    let mut pages = Vec::new();
    write(&whole, &mut pages)?;
    Ok(pages)
}

fn write(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    // clap names a command below another as a shell does; its page's name has dashes.
    let name = command.get_display_name().unwrap_or(command.get_name()).replace(' ', "-");
    let page = Page::new(command.clone()).title(name.as_str()).section("1");
    let mut text = Vec::new();
    page.render(&mut text)?;
    pages.push((format!("{name}.1"), text));
    command.get_subcommands().filter(|below| below.get_name() != "help").try_for_each(|below| write(below, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_the_whole_is_the_first() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "sumac.1");
        for page in ["sumac-up.1", "sumac-job.1", "sumac-data-inspect.1"] {
            assert!(names.contains(&page), "{page} in {names:?}");
        }
        let (_, first) = &pages[0];
        assert!(String::from_utf8_lossy(first).contains(".SH SYNOPSIS"));
    }
}
