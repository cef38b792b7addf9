//! The live view's colours: BuildKit's own, those of `BUILDKIT_COLORS`, or none with `NO_COLOR`.

use dhow_model::environment::Environment;

/// The escape sequence that starts each colour; empty for no colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgressColours {
    /// Finished steps.
    pub(crate) run: String,
    /// Cancelled steps.
    pub(crate) cancel: String,
    /// Failed steps.
    pub(crate) error: String,
    /// Warnings.
    pub(crate) warning: String,
    /// Output of steps.
    pub(crate) faint: String,
}

impl Default for ProgressColours {
    fn default() -> Self {
        let code = |code: &str| format!("\x1b[{code}m");
        Self { run: code("34"), cancel: code("33"), error: code("31"), warning: code("33"), faint: code("2") }
    }
}

impl ProgressColours {
    /// The colours that the environment asks for, and warnings about invalid ones.
    pub(crate) fn from_environment(environment: &Environment) -> (Self, Vec<String>) {
        let mut colours = Self::default();
        let mut warnings = Vec::new();
        // As in BuildKit, it wins over BUILDKIT_COLORS.
        if environment.text("NO_COLOR").is_some() {
            let none = String::new;
            let plain = Self { run: none(), cancel: none(), error: none(), warning: none(), faint: none() };
            return (plain, warnings);
        }
        let setting = environment.text("BUILDKIT_COLORS").unwrap_or_default();
        for pair in setting.split(':').filter(|pair| !pair.is_empty()) {
            if let Err(why) = colours.set(pair) {
                warnings.push(format!("BUILDKIT_COLORS: {why}"));
            }
        }
        (colours, warnings)
    }

    fn set(&mut self, pair: &str) -> Result<(), String> {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not NAME=COLOR"))?;
        let colour = match name.to_ascii_lowercase().as_str() {
            "run" => &mut self.run,
            "cancel" => &mut self.cancel,
            "error" => &mut self.error,
            "warning" => &mut self.warning,
            _ => return Err(format!("unknown name `{name}`: there are run, cancel, error, warning")),
        };
        *colour = escape_sequence(value).ok_or_else(|| format!("`{value}` is neither a colour nor R,G,B"))?;
        Ok(())
    }
}

fn escape_sequence(value: &str) -> Option<String> {
    let value = value.to_ascii_lowercase();
    if let Some(code) = colour_code(&value) {
        return Some(format!("\x1b[{code}m"));
    }
    // BuildKit accepts R,G,B besides names.
    let parts: Option<Vec<u8>> = value.split(',').map(|part| part.trim().parse().ok()).collect();
    match parts?.as_slice() {
        [red, green, blue] => Some(format!("\x1b[38;2;{red};{green};{blue}m")),
        _ => None,
    }
}

/// The number of a colour in SGR sequences (ECMA-48, 8.3.117). `default` is the terminal's own.
fn colour_code(name: &str) -> Option<u8> {
    if name == "default" {
        return Some(39);
    }
    const NAMES: [&str; 8] = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
    let (name, base) = match name.strip_prefix("light-").or_else(|| name.strip_prefix("light_")) {
        Some(name) => (name, 90),
        None => (name, 30),
    };
    let index = NAMES.iter().position(|candidate| *candidate == name)?;
    Some(base + u8::try_from(index).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_chooses() {
        let of = |name: &str, value: &str| {
            ProgressColours::from_environment(&Environment::from_iter([(name, value)]))
        };
        assert_eq!(of("X", "").0, ProgressColours::default());
        assert_eq!(of("NO_COLOR", "1").0.error, "");
        let (colours, warnings) =
            of("BUILDKIT_COLORS", "run=green:error=255,0,10:warning=light-cyan:x=1:run");
        assert_eq!(colours.run, "\x1b[32m");
        assert_eq!(colours.error, "\x1b[38;2;255;0;10m");
        assert_eq!(colours.warning, "\x1b[96m");
        assert_eq!(warnings.len(), 2);
        let (colours, warnings) = of("BUILDKIT_COLORS", "run=Default:cancel=light-default");
        assert_eq!((colours.run.as_str(), colours.cancel.as_str()), ("\x1b[39m", "\x1b[33m"));
        assert_eq!(warnings, ["BUILDKIT_COLORS: `light-default` is neither a colour nor R,G,B"]);
    }
}
