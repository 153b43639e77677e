//! What sets and unsets variables in a shell.

use std::fmt::{self, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

/// The shells that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    /// sh, bash, zsh, dash, ksh
    Sh,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
}

/// What becomes of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable<'a> {
    /// It gets a value.
    Set(&'a str, &'a str),
    /// It is no more.
    Unset(&'a str),
}

impl Shell {
    /// The one of `$SHELL`, which most shells are not but understand.
    pub(crate) fn of(program: Option<&str>) -> Self {
        let name = program.and_then(|path| Path::new(path).file_name()).and_then(|name| name.to_str());
        match name {
            Some("fish") => Self::Fish,
            Some("pwsh" | "powershell") => Self::Powershell,
            _ => Self::Sh,
        }
    }

    /// A line for each variable.
    pub(crate) fn script(self, variables: &[Variable<'_>]) -> Zeroizing<String> {
        let values = variables.iter().map(|variable| match variable {
            Variable::Set(name, value) => name.len() + 4 * value.len(),
            Variable::Unset(name) => name.len(),
        });
        // Room from the start: a script that grows would leave secrets behind.
        let mut script = Zeroizing::new(String::with_capacity(values.map(|bytes| bytes + 64).sum()));
        for variable in variables {
            // A string takes every write.
            let _ = match (self, *variable) {
                (Self::Sh, Variable::Set(name, value)) => {
                    writeln!(script, "export {name}={}", self.quoted(value))
                }
                (Self::Sh, Variable::Unset(name)) => writeln!(script, "unset {name}"),
                (Self::Fish, Variable::Set(name, value)) => {
                    writeln!(script, "set -gx {name} {};", self.quoted(value))
                }
                (Self::Fish, Variable::Unset(name)) => writeln!(script, "set -e {name};"),
                (Self::Powershell, Variable::Set(name, value)) => {
                    writeln!(script, "$Env:{name} = {}", self.quoted(value))
                }
                (Self::Powershell, Variable::Unset(name)) => {
                    writeln!(script, "Remove-Item Env:{name} -ErrorAction Ignore")
                }
            };
        }
        script
    }

    /// A text as one word that the shell takes as it is.
    pub(crate) const fn quoted(self, text: &str) -> Quoted<'_> {
        Quoted { shell: self, text }
    }
}

/// A word. It is written straight to where it goes: a secret leaves no copy on the way.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a> {
    shell: Shell,
    text: &'a str,
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('\'')?;
        for letter in self.text.chars() {
            match (self.shell, letter) {
                (Shell::Sh, '\'') => f.write_str(r"'\''")?,
                (Shell::Fish, '\'' | '\\') => write!(f, "\\{letter}")?,
                // PowerShell takes these for quotation marks too.
                (Shell::Powershell, '\'' | '\u{2018}'..='\u{201b}') => write!(f, "{letter}{letter}")?,
                _ => f.write_char(letter)?,
            }
        }
        f.write_char('\'')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    #[test]
    fn each_shell_has_its_words() {
        let variables = [Variable::Set("A", r"it's \o"), Variable::Unset("B")];
        assert_eq!(*Shell::Sh.script(&variables), "export A='it'\\''s \\o'\nunset B\n");
        assert_eq!(*Shell::Fish.script(&variables), "set -gx A 'it\\'s \\\\o';\nset -e B;\n");
        assert_eq!(
            *Shell::Powershell.script(&variables),
            "$Env:A = 'it''s \\o'\nRemove-Item Env:B -ErrorAction Ignore\n"
        );
    }

    #[test]
    fn the_shell_is_known_by_its_name() {
        assert_eq!(Shell::of(Some("/usr/bin/fish")), Shell::Fish);
        assert_eq!(Shell::of(Some("/bin/zsh")), Shell::Sh);
        assert_eq!(Shell::of(Some("pwsh")), Shell::Powershell);
        assert_eq!(Shell::of(None), Shell::Sh);
        assert_eq!(Shell::of(Some("")), Shell::Sh);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
        #[test]
        fn a_real_shell_reads_back_what_was_quoted(value in r#"[ -~\n\t'"$`\\é]{0,40}"#) {
            let script = Shell::Sh.script(&[Variable::Set("VALUE", &value)]);
            let out = Command::new("sh").args(["-c", &format!("{}printf %s \"$VALUE\"", *script)]).output().unwrap();
            prop_assert_eq!(String::from_utf8(out.stdout).unwrap(), value);
        }
    }
}
