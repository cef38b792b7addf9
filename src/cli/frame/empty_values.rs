//! Empty values: in docker `--name ""` means that the flag was not given, so that a script can pass on a variable that is
//! not set.
//!
//! Such flags are taken out before clap reads the arguments: a reference, a platform or a signal has no empty value that
//! could stand for "none". Numbers, sizes and spans of time are refused when they are empty, as docker does; so are the
//! elements of lists, other than filters.

use std::any::TypeId;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::{Arg, ArgAction, Command};

/// Flags whose empty value means something: `--entrypoint ""` takes the image's program away.
const EMPTY_IS_A_VALUE: &[&str] = &["entrypoint"];
/// Lists of which docker leaves out empty elements.
const EMPTY_ELEMENT_IS_NONE: &[&str] = &["filter"];

/// The arguments without the text flags that end up with an empty value; of several values the last one counts.
pub(super) fn drop_empty_texts(command: &Command, arguments: Vec<OsString>) -> Vec<OsString> {
    // The usual case, which keeps the start fast.
    if !arguments.iter().any(|word| word.is_empty() || word.as_encoded_bytes().ends_with(b"=")) {
        return arguments;
    }
    let texts = read_texts(command, &arguments);
    let mut last_empty: HashMap<&str, usize> = HashMap::new();
    for text in texts.iter().filter(|text| text.is_empty && !text.is_element) {
        last_empty.insert(text.flag, text.word);
    }
    let is_void = |text: &&GivenText<'_>| match text.is_element {
        true => text.is_empty,
        false => last_empty.get(text.flag).is_some_and(|last| text.word <= *last),
    };
    let mut kept: Vec<Option<OsString>> = arguments.into_iter().map(Some).collect();
    texts.iter().filter(is_void).for_each(|text| text.remove_from(&mut kept));
    kept.into_iter().flatten().collect()
}

/// A text flag as it was given.
struct GivenText<'a> {
    /// The flag's ID.
    flag: &'a str,
    /// The index of the word with the flag.
    word: usize,
    /// How many bytes of that word belong to other flags, as `-it` in `-itn NAME`.
    before: usize,
    /// Whether the value is the next word.
    value_follows: bool,
    is_empty: bool,
    /// Whether it is one element of a list.
    is_element: bool,
}

impl GivenText<'_> {
    fn remove_from(&self, words: &mut [Option<OsString>]) {
        if self.value_follows {
            words[self.word + 1] = None;
        }
        let word = words[self.word].take().unwrap_or_default();
        // A dash alone is an argument.
        if self.before > 1 {
            words[self.word] = Some(OsString::from_vec(word.as_bytes()[..self.before].to_owned()));
        }
    }
}

/// The text flags among the arguments, read as docker's flags are.
fn read_texts<'a>(command: &'a Command, arguments: &[OsString]) -> Vec<GivenText<'a>> {
    let stops_at_argument = command.get_positionals().any(Arg::is_trailing_var_arg_set);
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(word) = arguments.get(index) {
        match word.as_bytes() {
            b"--" => break,
            [b'-', ..] if word != "-" => {
                let Some(flag) = read_flag(command, word) else { break };
                let value = flag.value.or_else(|| arguments.get(index + 1).map(OsString::as_os_str));
                let (value_follows, word) = (flag.value.is_none() && flag.argument.is_some(), index);
                index += usize::from(value_follows);
                if let (Some(argument), Some(value)) = (flag.argument.filter(may_be_empty), value) {
                    found.push(GivenText {
                        flag: argument.get_id().as_str(),
                        word,
                        before: flag.before,
                        value_follows,
                        is_empty: value.is_empty(),
                        is_element: matches!(argument.get_action(), ArgAction::Append),
                    });
                }
            }
            _ if stops_at_argument => break,
            _ => {}
        }
        index += 1;
    }
    found
}

/// A word of flags.
struct FlagWord<'a, 'w> {
    /// The flag that takes a value; None in a word of switches only.
    argument: Option<&'a Arg>,
    /// Its value, if it is in the same word.
    value: Option<&'w OsStr>,
    /// See [`GivenText`].
    before: usize,
}

/// None if clap will not know the flag either.
fn read_flag<'a, 'w>(command: &'a Command, word: &'w OsStr) -> Option<FlagWord<'a, 'w>> {
    let bytes = word.as_bytes();
    if let Some(long) = bytes.strip_prefix(b"--") {
        let (name, value) = match long.iter().position(|byte| *byte == b'=') {
            Some(end) => (&long[..end], Some(OsStr::from_bytes(&long[end + 1..]))),
            None => (long, None),
        };
        let name = std::str::from_utf8(name).ok()?;
        let argument = command.get_arguments().find(|argument| is_called(argument, name))?;
        return Some(FlagWord { argument: Some(argument).filter(takes_value), value, before: 0 });
    }
    for (at, letter) in bytes.iter().enumerate().skip(1) {
        let letter = char::from(*letter);
        let argument = command.get_arguments().find(|argument| argument.get_short() == Some(letter))?;
        let rest = &bytes[at + 1..];
        if takes_value(&argument) {
            let value = Some(rest.strip_prefix(b"=").unwrap_or(rest)).filter(|_| !rest.is_empty());
            return Some(FlagWord {
                argument: Some(argument),
                value: value.map(OsStr::from_bytes),
                before: at,
            });
        }
        // `-i=false`: the rest is the switch's.
        if rest.starts_with(b"=") {
            break;
        }
    }
    Some(FlagWord { argument: None, value: None, before: 0 })
}

fn is_called(argument: &Arg, name: &str) -> bool {
    argument.get_long() == Some(name) || argument.get_all_aliases().is_some_and(|names| names.contains(&name))
}

/// Whether the next word is the flag's value unless it has one already; switches have theirs behind a `=` only.
fn takes_value(argument: &&Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) && !argument.is_require_equals_set()
}

/// Whether an empty value means that there is none.
fn may_be_empty(argument: &&Arg) -> bool {
    let name = argument.get_id().as_str();
    if matches!(argument.get_action(), ArgAction::Append) {
        return EMPTY_ELEMENT_IS_NONE.contains(&name);
    }
    let kind = argument.get_value_parser().type_id();
    let numbers = [
        TypeId::of::<bool>(),
        TypeId::of::<u16>(),
        TypeId::of::<i32>(),
        TypeId::of::<u32>(),
        TypeId::of::<i64>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
    ];
    !numbers.iter().any(|number| kind == *number) && !EMPTY_IS_A_VALUE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::parser::docker_parser;

    #[derive(clap::Args)]
    struct Sample {
        #[arg(short, long)]
        _interactive: bool,
        #[arg(short, long)]
        _env: Vec<String>,
        #[arg(short, long)]
        name: Option<String>,
        #[arg(long)]
        entrypoint: Option<String>,
        #[arg(long)]
        filter: Vec<u64>,
        #[arg(short, long)]
        memory: Option<u64>,
        #[arg(trailing_var_arg = true)]
        words: Vec<String>,
    }

    fn kept(words: &[&str]) -> Vec<String> {
        let command = docker_parser(<Sample as clap::Args>::augment_args(Command::new("x")));
        let words = drop_empty_texts(&command, words.iter().map(OsString::from).collect());
        words.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_text_flag_with_an_empty_value_was_not_given() {
        for words in [
            &["--name", "", "img"] as &[&str],
            &["--name=", "img"],
            &["-n", "", "img"],
            &["-n=", "img"],
            &["--name", "a", "-n", "", "img"],
        ] {
            assert_eq!(kept(words), ["img"], "{words:?}");
        }
        assert_eq!(kept(&["-in", "", "img"]), ["-i", "img"]);
        assert_eq!(kept(&["--filter", "1", "--filter=", "--filter", "", "img"]), ["--filter", "1", "img"]);
        assert_eq!(kept(&["--name", "", "--name", "b", "img"]), ["--name", "b", "img"]);
    }

    #[test]
    fn other_empty_words_stay() {
        for words in [
            &["-e", "", "img"] as &[&str],
            &["-m", "", "img"],
            &["--entrypoint", "", "img"],
            &["-i=", "img"],
            &["--unknown", "", "--name", ""],
            &["img", "--name", ""],
            &["--", "--name", ""],
            &["-e", "--name", "img", ""],
        ] {
            assert_eq!(kept(words), words);
        }
    }
}
