//! The JSON schema of scenario files, for editors: completion, and errors while one writes.
//!
//! Comes in: the model. Goes out: `suites/scenario.schema.json`, which `gauntlet schema` prints; a test fails when the
//! committed file is stale.

use serde_json::{Map, Value, json};

use super::{
    CHAOS_FAULTS, SUBSTRATES, Scenario,
    parameters::{Kind, PARAMETERS},
};

/// The schema as JSON text with a final newline.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Scenario).to_value();
    // What the model's types do not say: the names of parameters, substrates and kinds of fault.
    let parameters = json!({ "$ref": "#/$defs/Parameters" });
    for (at, known) in [
        ("/properties/config", parameters.clone()),
        ("/properties/node/additionalProperties", parameters.clone()),
        ("/$defs/RealTime/properties/config", parameters),
        ("/properties/on/items", json!({ "enum": SUBSTRATES })),
        (
            "/$defs/Chaos/properties/faults/items",
            json!({ "enum": CHAOS_FAULTS.map(|(name, _)| name) }),
        ),
    ] {
        if let Some(place) = schema.pointer_mut(at) {
            *place = known;
        }
    }
    if let Some(definitions) = schema.pointer_mut("/$defs").and_then(Value::as_object_mut) {
        definitions.insert("Parameters".into(), parameter_table());
    }
    // `:#` is indented; a JSON value is always written.
    format!("{schema:#}\n")
}

/// A `[config]` table.
fn parameter_table() -> Value {
    let properties: Map<String, Value> = PARAMETERS
        .iter()
        .map(|p| {
            let mut value = match p.kind {
                Kind::Switch => json!({ "type": "boolean" }),
                Kind::Number => json!({ "type": "integer", "minimum": 0 }),
                Kind::Duration => json!({ "$ref": "#/$defs/Duration" }),
                Kind::Name(names) => json!({ "enum": names }),
            };
            value["description"] = format!("{} (default {})", p.meaning, p.default).into();
            (p.name.to_owned(), value)
        })
        .collect();
    json!({
        "type": "object",
        "description": "Documented parameters",
        "properties": properties,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_schema_is_fresh() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../suites/scenario.schema.json"
        );
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == super::schema(),
            "stale: run `gauntlet schema > suites/scenario.schema.json`"
        );
    }

    #[test]
    fn the_schema_knows_every_step_and_forbids_others() {
        let schema: serde_json::Value = serde_json::from_str(&super::schema()).expect("JSON");
        let steps = schema["$defs"]["Step"]["oneOf"]
            .as_array()
            .expect("the kinds of step");
        let named = |name: &str| steps.iter().any(|s| s["properties"][name].is_object());
        assert!(named("submit") && named("crash") && named("check-config"));
        assert!(steps.iter().all(|s| s["additionalProperties"] == false));
        assert_eq!(schema["additionalProperties"], false);
        for at in [
            "/properties/config/$ref",
            "/properties/node/additionalProperties/$ref",
            "/$defs/RealTime/properties/config/$ref",
            "/$defs/Parameters/properties/ShadowHeartbeatFrequency/$ref",
            "/$defs/Duration/type",
            "/properties/on/items/enum/1",
            "/$defs/Chaos/properties/faults/items/enum/5",
        ] {
            assert!(
                schema.pointer(at).is_some_and(serde_json::Value::is_string),
                "{at}"
            );
        }
    }
}
