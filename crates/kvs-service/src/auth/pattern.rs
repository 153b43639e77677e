//! Patterns of policies: text with `*`, `?` and variables.

use std::str::Chars;

use thiserror::Error;

/// Text with wildcards: `*` is any characters or none, `?` is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Box<[Symbol]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    Letter(char),
    One,
    Many,
    /// `${aws:username}`.
    UserName,
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A `${` without its `}`.
    #[error("a policy variable that does not end")]
    OpenVariable,
    /// A variable that this service has no value for.
    #[error("the policy variable ${{{name}}} is not supported; ${{aws:username}} is")]
    Variable {
        /// Its name, cut when long.
        name: String,
    },
}

impl Pattern {
    /// Text in which only `*` and `?` are special.
    pub(super) fn plain(text: &str) -> Self {
        Self(text.chars().map(Symbol::of).collect())
    }

    /// Text with variables as well (version 2012-10-17).
    pub(super) fn with_variables(text: &str) -> Result<Self, PatternError> {
        let mut symbols = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            symbols.extend(before.chars().map(Symbol::of));
            let (name, after) = after.split_once('}').ok_or(PatternError::OpenVariable)?;
            symbols.push(match name {
                // How a policy spells the special characters themselves.
                "*" => Symbol::Letter('*'),
                "?" => Symbol::Letter('?'),
                "$" => Symbol::Letter('$'),
                _ if name.eq_ignore_ascii_case("aws:username") => Symbol::UserName,
                _ => return Err(PatternError::Variable { name: name.chars().take(64).collect() }),
            });
            rest = after;
        }
        symbols.extend(rest.chars().map(Symbol::of));
        Ok(Self(symbols.into()))
    }

    /// The same with `tail` behind it.
    pub(super) fn followed_by(self, tail: &str) -> Self {
        Self(self.0.iter().copied().chain(tail.chars().map(Symbol::of)).collect())
    }

    /// Whether it matches a text, for the user of this name; `None` when a variable has no value.
    pub(super) fn matches(&self, text: &str, user: Option<&str>) -> Option<bool> {
        if !self.0.contains(&Symbol::UserName) {
            return Some(matches(&self.0, text));
        }
        let user = user?;
        let mut symbols = Vec::with_capacity(self.0.len());
        for symbol in &self.0 {
            match symbol {
                // A name is never a pattern itself.
                Symbol::UserName => symbols.extend(user.chars().map(Symbol::Letter)),
                other => symbols.push(*other),
            }
        }
        Some(matches(&symbols, text))
    }
}

impl Symbol {
    const fn of(letter: char) -> Self {
        match letter {
            '*' => Self::Many,
            '?' => Self::One,
            other => Self::Letter(other),
        }
    }

    fn takes(self, letter: char) -> bool {
        match self {
            Self::Letter(own) => own == letter,
            Self::One => true,
            Self::Many | Self::UserName => false,
        }
    }
}

/// Greedy: when something does not fit, only the last `*` takes one more character. An earlier one never has to,
/// since what it would give up the last one can take. So at most pattern times text steps, and no stack.
fn matches(symbols: &[Symbol], text: &str) -> bool {
    let mut symbols = symbols.iter();
    let mut rest = text.chars();
    let mut last_star: Option<(std::slice::Iter<'_, Symbol>, Chars<'_>)> = None;
    loop {
        let (mut next_symbols, mut next_rest) = (symbols.clone(), rest.clone());
        match (next_symbols.next(), next_rest.next()) {
            (None, None) => return true,
            (Some(Symbol::Many), _) => {
                symbols = next_symbols;
                last_star = Some((symbols.clone(), rest.clone()));
                continue;
            }
            (Some(symbol), Some(letter)) if symbol.takes(letter) => {
                (symbols, rest) = (next_symbols, next_rest);
                continue;
            }
            _ => {}
        }
        let Some((behind_star, taken_to)) = &mut last_star else { return false };
        if taken_to.next().is_none() {
            return false;
        }
        (symbols, rest) = (behind_star.clone(), taken_to.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a pattern means, word for word.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', behind)), _) => {
                naive(behind, text) || (!text.is_empty() && naive(pattern, &text[1..]))
            }
            (Some((symbol, behind)), Some((letter, rest))) => {
                (*symbol == '?' || symbol == letter) && naive(behind, rest)
            }
            _ => false,
        }
    }

    #[test]
    fn many_stars_do_not_take_long() {
        // An engine that backtracks over every star does not end; the runner's time limit is the test.
        let text = "a".repeat(999) + "b";
        for (pattern, expected) in [
            ("*a".repeat(1_000), false),
            ("*".repeat(6_000), true),
            ("*".to_owned() + &"a?".repeat(500) + "c", false),
        ] {
            assert_eq!(Pattern::plain(&pattern).matches(&text, None), Some(expected));
        }
    }

    #[test]
    fn variables_have_the_user_s_value() {
        let pattern = Pattern::with_variables("arn:*:stream/${aws:username}-*/${*}${?}${$}").unwrap();
        assert_eq!(pattern.matches("arn:x:stream/eve-1/*?$", Some("eve")), Some(true));
        assert_eq!(pattern.matches("arn:x:stream/bob-1/*?$", Some("eve")), Some(false));
        assert_eq!(pattern.matches("arn:x:stream/eve-1/ab$", Some("eve")), Some(false));
        assert_eq!(pattern.matches("arn:x:stream/eve-1/*?$", None), None);
        assert_eq!(pattern.matches("arn:x:stream/eve-1/*?$", Some("*")), Some(false));
        assert_eq!(Pattern::with_variables("${aws:username"), Err(PatternError::OpenVariable));
        let error = Pattern::with_variables("${aws:SourceIp}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the policy variable ${aws:SourceIp} is not supported; ${aws:username} is"
        );
    }

    proptest! {
        #[test]
        fn it_matches_what_the_definition_does(pattern in "[ab?*é]{0,9}", text in "[abé]{0,9}") {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = naive(&letters(&pattern), &letters(&text));
            prop_assert_eq!(Pattern::plain(&pattern).matches(&text, None), Some(expected));
            prop_assert_eq!(Pattern::with_variables(&pattern).unwrap().matches(&text, None), Some(expected));
        }

        #[test]
        fn any_text_is_a_pattern_or_refused(pattern in "([${}*?a]|aws:username|.){0,20}", text in ".{0,20}") {
            if let Ok(pattern) = Pattern::with_variables(&pattern) {
                pattern.matches(&text, Some("a"));
            }
        }
    }
}
