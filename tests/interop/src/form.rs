//! The forms of a page, as a person sees them who knows what to answer.

/// A form, and what its fields hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Form {
    /// The first form of a page that these answers, names and values, fit. Fields that nobody sees stay as they are, fields
    /// that have an answer get it, and of several buttons the one that is an answer is pressed.
    pub(crate) fn find(html: &str, answers: &[(&str, &str)]) -> Option<Self> {
        html.split("<form").skip(1).find_map(|rest| Self::fill(rest.split("</form").next()?, answers))
    }

    /// What its fields hold, by name.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// `text` is what stands between `<form` and `</form`.
    fn fill(text: &str, answers: &[(&str, &str)]) -> Option<Self> {
        let mut form =
            Self { action: attribute(text.split('>').next()?, "action").unwrap_or_default(), fields: Vec::new() };
        let mut buttons = Vec::new();
        for tag in text.split('<').skip(1).filter_map(|tag| tag.split('>').next()) {
            let kind = attribute(tag, "type").unwrap_or_default();
            let is_button = tag.starts_with("button") || kind == "submit";
            if !is_button && !["input", "select", "textarea"].iter().any(|element| tag.starts_with(element)) {
                continue;
            }
            let Some(name) = attribute(tag, "name") else { continue };
            let value = attribute(tag, "value").unwrap_or_default();
            let answer = answers.iter().find(|(own, _)| *own == name).map(|(_, answer)| (*answer).to_owned());
            match (is_button, kind.as_str()) {
                (true, _) => buttons.push((name, value)),
                // One form for each answer.
                (false, "hidden") if answer.as_ref().is_some_and(|answer| *answer != value) => return None,
                (false, "hidden") => form.fields.push((name, value)),
                (false, "radio" | "checkbox") if answer.as_ref() != Some(&value) => {}
                (false, _) => form.fields.push((name, answer.unwrap_or(value))),
            }
        }
        let is_answer = |(name, value): &&(String, String)| answers.contains(&(name.as_str(), value.as_str()));
        match buttons.iter().find(is_answer) {
            Some(pressed) => form.fields.push(pressed.clone()),
            // These buttons are for people who have other answers.
            None if buttons.iter().any(|(name, _)| answers.iter().any(|(own, _)| own == name)) => return None,
            None => form.fields.extend(buttons.into_iter().next()),
        }
        Some(form)
    }
}

/// An attribute of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!(" {name}=\""))?.1.split('"').next()?;
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: &[(&str, &str)] = &[("user", "bob@example.com"), ("decision", "deny")];

    #[test]
    fn what_nobody_sees_stays_and_what_is_asked_is_answered() {
        let page = r#"<p><form method="post" action="consent?a=1&amp;b=2"><input type="hidden" name="transaction" value="t&quot;1">
            <select id="user" name="user"><option value="jane@example.com" selected>Jane</option></select>
            <button name="decision" value="accept">Yes</button><button name="decision" value="deny">No</button></form>"#;
        let form = Form::find(page, ANSWERS).unwrap();
        assert_eq!(form.action, "consent?a=1&b=2");
        assert_eq!(form.pairs(), [("transaction", "t\"1"), ("user", "bob@example.com"), ("decision", "deny")]);
    }

    #[test]
    fn of_several_forms_the_one_that_the_answers_fit_is_sent() {
        let page = r#"<form action="a"><input type="hidden" name="user" value="jane@example.com"><button>Jane</button></form>
            <form action="b"><input type="hidden" name="user" value="bob@example.com"><button>Bob</button></form>
            <form action="c"><button name="decision" value="accept">Yes</button></form>"#;
        let form = Form::find(page, ANSWERS).unwrap();
        assert_eq!((form.action.as_str(), form.pairs()), ("b", vec![("user", "bob@example.com")]));
        assert_eq!(Form::find(page, &[("user", "eve@example.com"), ("decision", "deny")]), None);
    }
}
