//! A day: what happens when, as plain data, played through the verbs of the control interface on the sandbox's clock.
//!
//! `day/long.json` is the one that comes with the program. It needs what [`Day::furnish`] lays out.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Control, ControlError, LegacyPublicIp};

/// What happens in a day, in order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Day {
    /// In order.
    pub happenings: Vec<Happening>,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// How long after midnight; written as in `"02:10"`.
    #[serde(deserialize_with = "time_of_day")]
    pub at: Duration,
    /// What, in a phrase.
    pub what: String,
    /// What it concerns: an endpoint, a record, a resource or an account, by its name in the configuration.
    pub concerns: Vec<String>,
    /// Whether it stays as it is until a later happening ends it, whatever anybody does.
    #[serde(default)]
    pub lasts: bool,
    /// Whether that is to last until a service does not count as ready.
    #[serde(default)]
    pub unready: bool,
    /// What is done, in order.
    pub acts: Vec<Act>,
}

/// One verb of the control interface.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Its name, as in `GET /control`.
    pub verb: String,
    /// Its fields.
    #[serde(default = "nothing")]
    pub body: Value,
}

impl Day {
    /// How long a day is.
    pub const LENGTH: Duration = Duration::from_secs(24 * 60 * 60);

    /// The long day of a service that keeps three names, on two endpoints, in two accounts.
    ///
    /// # Errors
    /// Never, unless the program was built with a day that is none.
    pub fn long() -> Result<Self, ControlError> {
        Self::parse(include_str!("day/long.json"))
    }

    /// Reads a day.
    ///
    /// # Errors
    /// When it is none, or its happenings are not in order.
    pub fn parse(text: &str) -> Result<Self, ControlError> {
        let day: Self = serde_json::from_str(text).map_err(|error| ControlError(error.to_string()))?;
        if let Some(pair) = day.happenings.windows(2).find(|pair| pair[0].at >= pair[1].at) {
            return Err(ControlError(format!("{} does not come after {}", pair[1].what, pair[0].what)));
        }
        Ok(day)
    }

    /// Lays out what the long day finds: a security group that colleagues have put the management VM behind, and a second
    /// VM with a public IP of its own, of the kind that was sold before 31 March 2025 and gives its address up whenever
    /// the VM is deallocated.
    ///
    /// # Errors
    /// When something of that name is there already.
    pub fn furnish(control: &Control) -> Result<(), ControlError> {
        let shown = |id: &str| control.show_resource(id).unwrap_or_default();
        let group = json!({"location": "westeurope", "tags": {"team": "platform"}, "properties": {"securityRules": []}});
        control.put_resource("networkSecurityGroups/nsg-mgmt", &group)?;
        let mut interface = shown("networkInterfaces/vm-jump-nic");
        interface["properties"]["networkSecurityGroup"] =
            json!({"id": shown("networkSecurityGroups/nsg-mgmt")["id"]});
        control.put_resource("networkInterfaces/vm-jump-nic", &interface)?;
        control.create_legacy_public_ip(&LegacyPublicIp {
            name: "pip-old".into(),
            label: Some("contoso-old".into()),
            attached: false,
            ..LegacyPublicIp::default()
        })?;
        let subnet = shown("virtualNetworks/vnet-mgmt")["properties"]["subnets"][0]["id"].clone();
        let configuration = json!({
            "subnet": {"id": subnet},
            "publicIPAddress": {"id": shown("publicIPAddresses/pip-old")["id"]},
            "privateIPAllocationMethod": "Dynamic",
        });
        let interface = json!({
            "location": "westeurope",
            "properties": {"ipConfigurations": [{"name": "ipconfig1", "properties": configuration}]},
        });
        control.put_resource("networkInterfaces/vm-old-nic", &interface)?;
        control.create_vm("vm-old", "vm-old-nic")
    }
}

impl Happening {
    /// Lets it happen, now.
    ///
    /// # Errors
    /// When one of its verbs could not be carried out; those before it were.
    pub async fn play(&self, control: &Control) -> Result<(), ControlError> {
        for act in &self.acts {
            control.act_by_name(&act.verb, &act.body).await?;
        }
        Ok(())
    }
}

fn nothing() -> Value {
    json!({})
}

fn time_of_day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute) = (hour.parse::<u64>().ok()?, minute.parse::<u64>().ok()?);
        (hour < 24 && minute < 60).then_some(Duration::from_secs((hour * 60 + minute) * 60))
    });
    parsed.ok_or_else(|| serde::de::Error::custom(format!("{text} is no time of day, such as 02:10")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_day_is_one() {
        let day = Day::long().unwrap();
        assert!(day.happenings.iter().all(|one| one.at < Day::LENGTH && !one.concerns.is_empty()));
        assert!(!day.happenings.last().unwrap().lasts, "nothing is left as it is at midnight");
    }

    #[test]
    fn what_is_no_day_is_refused() {
        let happening =
            |at: &str| format!(r#"{{"at": "{at}", "what": "w{at}", "concerns": [], "acts": []}}"#);
        for (text, why) in [
            (format!("[{}]", happening("24:00")), "no time of day"),
            (format!("[{}]", happening("9")), "no time of day"),
            (
                format!("[{}, {}]", happening("09:00"), happening("08:59")),
                "w08:59 does not come after w09:00",
            ),
        ] {
            let error = Day::parse(&text).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
