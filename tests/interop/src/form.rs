//! Parsing and filling in of HTML forms.

/// A form with the values of its fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) action: String,
    /// `true` if the form is submitted with GET.
    pub(crate) is_query: bool,
    pub(crate) fields: Vec<(String, String)>,
}

impl Form {
    /// Finds the first form of a page that matches the inputs, which are names and values. Hidden fields keep their values,
    /// visible fields are set, and a button with one of the inputs is pressed.
    pub(crate) fn find(html: &str, inputs: &[(&str, &str)]) -> Option<Self> {
        html.split("<form").skip(1).find_map(|rest| Self::fill(rest.split("</form").next()?, inputs))
    }

    /// Returns the names and values of the fields.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Fills in a form. `html` is the part between `<form` and `</form`.
    fn fill(html: &str, inputs: &[(&str, &str)]) -> Option<Self> {
        let head = html.split('>').next()?;
        let mut form = Self { action: attribute(head, "action").unwrap_or_default(), ..Self::default() };
        form.is_query = attribute(head, "method").is_none_or(|method| method.eq_ignore_ascii_case("get"));
        let mut buttons = Vec::new();
        for tag in html.split('<').skip(1).filter_map(|tag| tag.split('>').next()) {
            let kind = attribute(tag, "type").unwrap_or_default();
            let is_button = tag.starts_with("button") || kind == "submit";
            if !is_button && !["input", "select", "textarea"].iter().any(|element| tag.starts_with(element)) {
                continue;
            }
            let Some(name) = attribute(tag, "name") else {
                buttons.extend(is_button.then_some(None));
                continue;
            };
            let value = attribute(tag, "value").unwrap_or_default();
            let input = inputs.iter().find(|(key, _)| *key == name).map(|(_, input)| (*input).to_owned());
            match (is_button, kind.as_str()) {
                (true, _) => buttons.push(Some((name, value))),
                // The page has a form for each possible input.
                (false, "hidden") if input.as_ref().is_some_and(|input| *input != value) => return None,
                (false, "hidden") => form.fields.push((name, value)),
                (false, "radio" | "checkbox") if input.as_ref() != Some(&value) => {}
                (false, _) => form.fields.push((name, input.unwrap_or(value))),
            }
        }
        let named: Vec<_> = buttons.iter().flatten().collect();
        let pressed = named.iter().find(|(name, value)| inputs.contains(&(name, value)));
        match (pressed, buttons.first()) {
            (Some(pressed), _) => form.fields.push((*pressed).clone()),
            // The buttons of this form are for other inputs.
            (None, _) if named.iter().any(|(key, _)| inputs.iter().any(|(name, _)| name == key)) => return None,
            // The Enter key presses the first button.
            (None, first) => form.fields.extend(first.cloned().flatten()),
        }
        Some(form)
    }
}

/// Returns the value of an attribute of a tag.
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

    const INPUTS: &[(&str, &str)] = &[("user", "bob@example.com"), ("decision", "deny")];

    #[test]
    fn hidden_fields_keep_values_and_visible_fields_are_filled() {
        let page = r#"<p><form method="post" action="consent?a=1&amp;b=2"><input type="hidden" name="transaction" value="t&quot;1">
            <select id="user" name="user"><option value="jane@example.com" selected>Jane</option></select>
            <button name="decision" value="accept">Yes</button><button name="decision" value="deny">No</button></form>"#;
        let form = Form::find(page, INPUTS).unwrap();
        assert_eq!(form.action, "consent?a=1&b=2");
        assert_eq!(form.pairs(), [("transaction", "t\"1"), ("user", "bob@example.com"), ("decision", "deny")]);
    }

    #[test]
    fn form_without_matching_button_uses_first_button() {
        let page = r#"<form method="post" action="/v1/signin"><input type="email" name="user" value="" required>
            <button type="submit" class="main">Sign in</button>
            <button type="submit" name="choice" value="jane@example.com">Jane</button></form>"#;
        let form = Form::find(page, INPUTS).unwrap();
        assert_eq!((form.pairs(), form.is_query), (vec![("user", "bob@example.com")], false));
        let page = r#"<form method="get" action="/verify"><input type="text" name="code" value="123456">
            <button type="submit">Next</button></form>"#;
        let form = Form::find(page, INPUTS).unwrap();
        assert_eq!((form.pairs(), form.is_query), (vec![("code", "123456")], true));
    }

    #[test]
    fn page_with_several_forms_returns_matching_form() {
        let page = r#"<form action="a"><input type="hidden" name="user" value="jane@example.com"><button>Jane</button></form>
            <form action="b"><input type="hidden" name="user" value="bob@example.com"><button>Bob</button></form>
            <form action="c"><button name="decision" value="accept">Yes</button></form>"#;
        let form = Form::find(page, INPUTS).unwrap();
        assert_eq!((form.action.as_str(), form.pairs()), ("b", vec![("user", "bob@example.com")]));
        assert_eq!(Form::find(page, &[("user", "eve@example.com"), ("decision", "deny")]), None);
    }
}
