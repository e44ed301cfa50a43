//! The scopes that Webex documents, as constants of [`Scope`].

use crate::scope::scopes::Scope;

/// Defines constants of [`Scope`], and lists them for the tests and for the pages of `testing`.
macro_rules! scopes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal;)*) => {
        impl Scope {
            $($(#[doc = $doc])* pub const $name: Self = Self(std::borrow::Cow::Borrowed($text));)*
        }

        #[cfg(feature = "testing")]
        pub(crate) const DESCRIBED: &[(&str, &str)] = &[$(($text, concat!($($doc),*))),*];

        #[cfg(test)]
        pub(crate) const NAMED: &[(&str, Scope)] = &[$((stringify!($name), Scope::$name)),*];
    };
}

scopes! {
    // Scopes for every user: those of Login with Webex, and those of the APIs (`spark:`).

    /// Login with Webex: an ID token. The five scopes of Login with Webex need no registration.
    OPENID = "openid";
    /// Login with Webex: the user's e-mail address.
    EMAIL = "email";
    /// Login with Webex: the user's names and locale.
    PROFILE = "profile";
    /// Login with Webex: the user's phone number.
    PHONE = "phone";
    /// Login with Webex: the user's postal address.
    ADDRESS = "address";

    /// Full access on behalf of the user: all user-level `spark:` scopes. It does not satisfy a
    /// request for one of them by name, and does not include the scopes for administrators,
    /// compliance officers, and meetings.
    SPARK_ALL = "spark:all";
    /// Access to the keys of encrypted content. Without it, encrypted content may be empty. Webex
    /// adds this scope to most integrations automatically.
    SPARK_KMS = "spark:kms";
    /// Read access to people, including the logged-in person.
    SPARK_PEOPLE_READ = "spark:people_read";
    /// Changing the logged-in person's own details.
    SPARK_PEOPLE_WRITE = "spark:people_write";
    /// Read access to the user's spaces.
    SPARK_ROOMS_READ = "spark:rooms_read";
    /// Creating, changing, and deleting spaces.
    SPARK_ROOMS_WRITE = "spark:rooms_write";
    /// Read access to the memberships of the user's spaces.
    SPARK_MEMBERSHIPS_READ = "spark:memberships_read";
    /// Adding and removing members of the user's spaces.
    SPARK_MEMBERSHIPS_WRITE = "spark:memberships_write";
    /// Read access to the messages of the user's spaces.
    SPARK_MESSAGES_READ = "spark:messages_read";
    /// Posting and deleting messages as the user.
    SPARK_MESSAGES_WRITE = "spark:messages_write";
    /// Read access to the user's teams.
    SPARK_TEAMS_READ = "spark:teams_read";
    /// Creating, changing, and deleting teams.
    SPARK_TEAMS_WRITE = "spark:teams_write";
    /// Read access to the memberships of the user's teams.
    SPARK_TEAM_MEMBERSHIPS_READ = "spark:team_memberships_read";
    /// Adding and removing members of the user's teams.
    SPARK_TEAM_MEMBERSHIPS_WRITE = "spark:team_memberships_write";
    /// Read access to webhooks.
    SPARK_WEBHOOKS_READ = "spark:webhooks_read";
    /// Creating, changing, and deleting webhooks.
    SPARK_WEBHOOKS_WRITE = "spark:webhooks_write";
    /// Read access to the user's calls and their history.
    SPARK_CALLS_READ = "spark:calls_read";
    /// Making and controlling calls as the user.
    SPARK_CALLS_WRITE = "spark:calls_write";
    /// Read access to the user's devices.
    SPARK_DEVICES_READ = "spark:devices_read";
    /// Changing and deleting the user's devices.
    SPARK_DEVICES_WRITE = "spark:devices_write";
    /// Read access to the places that the user manages.
    SPARK_PLACES_READ = "spark:places_read";
    /// Changing the places that the user manages.
    SPARK_PLACES_WRITE = "spark:places_write";
    /// Read access to the state of RoomOS devices through the xAPI.
    SPARK_XAPI_STATUSES = "spark:xapi_statuses";
    /// Sending commands to RoomOS devices through the xAPI.
    SPARK_XAPI_COMMANDS = "spark:xapi_commands";
    /// Read access to the user's recordings of calls and meetings.
    SPARK_RECORDINGS_READ = "spark:recordings_read";
    /// Changing and deleting the user's recordings of calls and meetings.
    SPARK_RECORDINGS_WRITE = "spark:recordings_write";
    /// Read access to the user's Webex Calling settings.
    SPARK_TELEPHONY_CONFIG_READ = "spark:telephony_config_read";
    /// Changing the user's Webex Calling settings.
    SPARK_TELEPHONY_CONFIG_WRITE = "spark:telephony_config_write";
    /// Read access to the user's organization.
    SPARK_ORGANIZATIONS_READ = "spark:organizations_read";
    /// Calling through the BroadWorks Xtended Services Interface (XSI) as the user.
    SPARK_XSI = "spark:xsi";
    /// Calling from a browser (WebRTC).
    SPARK_WEBRTC_CALLING = "spark:webrtc_calling";
    /// Creating tokens of Service Apps.
    SPARK_APPLICATIONS_TOKEN = "spark:applications_token";
    /// Access to the MCP servers hosted by Webex.
    SPARK_MCP = "spark:mcp";

    // Scopes for administrators (`spark-admin:`).

    /// Read access to the organization's people.
    SPARK_ADMIN_PEOPLE_READ = "spark-admin:people_read";
    /// Creating, changing, and deleting the organization's people.
    SPARK_ADMIN_PEOPLE_WRITE = "spark-admin:people_write";
    /// Read access to organizations.
    SPARK_ADMIN_ORGANIZATIONS_READ = "spark-admin:organizations_read";
    /// Changing organizations.
    SPARK_ADMIN_ORGANIZATIONS_WRITE = "spark-admin:organizations_write";
    /// Read access to the organization's licenses.
    SPARK_ADMIN_LICENSES_READ = "spark-admin:licenses_read";
    /// Read access to the roles available in the organization.
    SPARK_ADMIN_ROLES_READ = "spark-admin:roles_read";
    /// Read access to the organization's resource groups.
    SPARK_ADMIN_RESOURCE_GROUPS_READ = "spark-admin:resource_groups_read";
    /// Read access to the memberships of resource groups.
    SPARK_ADMIN_RESOURCE_GROUP_MEMBERSHIPS_READ = "spark-admin:resource_group_memberships_read";
    /// Changing the memberships of resource groups.
    SPARK_ADMIN_RESOURCE_GROUP_MEMBERSHIPS_WRITE = "spark-admin:resource_group_memberships_write";
    /// Read access to messages of the organization. New integrations should use
    /// [`SPARK_COMPLIANCE_MESSAGES_READ`](Self::SPARK_COMPLIANCE_MESSAGES_READ).
    SPARK_ADMIN_MESSAGES_READ = "spark-admin:messages_read";
    /// Deleting messages of the organization. New integrations should use
    /// [`SPARK_COMPLIANCE_MESSAGES_WRITE`](Self::SPARK_COMPLIANCE_MESSAGES_WRITE).
    SPARK_ADMIN_MESSAGES_WRITE = "spark-admin:messages_write";

    /// Read access to the organization's devices.
    SPARK_ADMIN_DEVICES_READ = "spark-admin:devices_read";
    /// Creating, changing, and deleting the organization's devices and their configuration.
    SPARK_ADMIN_DEVICES_WRITE = "spark-admin:devices_write";
    /// Read access to the organization's places and their services.
    SPARK_ADMIN_PLACES_READ = "spark-admin:places_read";
    /// Creating, changing, and deleting the organization's places and their services.
    SPARK_ADMIN_PLACES_WRITE = "spark-admin:places_write";
    /// Read access to the organization's workspaces.
    SPARK_ADMIN_WORKSPACES_READ = "spark-admin:workspaces_read";
    /// Creating, changing, and deleting the organization's workspaces.
    SPARK_ADMIN_WORKSPACES_WRITE = "spark-admin:workspaces_write";
    /// Read access to the locations of workspaces.
    SPARK_ADMIN_WORKSPACE_LOCATIONS_READ = "spark-admin:workspace_locations_read";
    /// Changing the locations of workspaces.
    SPARK_ADMIN_WORKSPACE_LOCATIONS_WRITE = "spark-admin:workspace_locations_write";
    /// Read access to usage metrics of workspaces.
    SPARK_ADMIN_WORKSPACE_METRICS_READ = "spark-admin:workspace_metrics_read";
    /// Read access to the organization's locations.
    SPARK_ADMIN_LOCATIONS_READ = "spark-admin:locations_read";
    /// Creating and changing the organization's locations.
    SPARK_ADMIN_LOCATIONS_WRITE = "spark-admin:locations_write";

    /// Read access to the organization's Webex Calling settings.
    SPARK_ADMIN_TELEPHONY_CONFIG_READ = "spark-admin:telephony_config_read";
    /// Changing the organization's Webex Calling settings.
    SPARK_ADMIN_TELEPHONY_CONFIG_WRITE = "spark-admin:telephony_config_write";
    /// Read access to the organization's connections to the telephone network (PSTN).
    SPARK_ADMIN_TELEPHONY_PSTN_READ = "spark-admin:telephony_pstn_read";
    /// Changing the organization's connections to the telephone network (PSTN).
    SPARK_ADMIN_TELEPHONY_PSTN_WRITE = "spark-admin:telephony_pstn_write";
    /// Read access to the organization's calls.
    SPARK_ADMIN_CALLS_READ = "spark-admin:calls_read";
    /// Controlling the organization's calls.
    SPARK_ADMIN_CALLS_WRITE = "spark-admin:calls_write";
    /// Read access to the call detail records of Webex Calling, including phone numbers.
    SPARK_ADMIN_CALLING_CDR_READ = "spark-admin:calling_cdr_read";
    /// Read access to the quality metrics of the organization's calls and meetings.
    SPARK_ADMIN_CALL_QUALITIES_READ = "spark-admin:call_qualities_read";
    /// Access to the BroadWorks Xtended Services Interface (XSI) of the organization.
    SPARK_ADMIN_XSI = "spark-admin:xsi";
    /// Read access to the organization's recordings.
    SPARK_ADMIN_RECORDINGS_READ = "spark-admin:recordings_read";
    /// Changing and deleting the organization's recordings.
    SPARK_ADMIN_RECORDINGS_WRITE = "spark-admin:recordings_write";

    /// Read access to reports.
    SPARK_ADMIN_REPORTS_READ = "spark-admin:reports_read";
    /// Creating and deleting reports.
    SPARK_ADMIN_REPORTS_WRITE = "spark-admin:reports_write";
    /// Read access to the data sources connected to Webex.
    SPARK_ADMIN_DATASOURCE_READ = "spark-admin:datasource_read";
    /// Connecting, changing, and removing data sources.
    SPARK_ADMIN_DATASOURCE_WRITE = "spark-admin:datasource_write";

    /// Read access to the clusters of hybrid services.
    SPARK_ADMIN_HYBRID_CLUSTERS_READ = "spark-admin:hybrid_clusters_read";
    /// Read access to the connectors of hybrid services.
    SPARK_ADMIN_HYBRID_CONNECTORS_READ = "spark-admin:hybrid_connectors_read";
    /// Read access to the state and settings of Video Mesh.
    SPARK_ADMIN_VIDEO_MESH_API_READ = "spark-admin:video_mesh_api_read";
    /// Changing the settings of Video Mesh and running tests.
    SPARK_ADMIN_VIDEO_MESH_API_WRITE = "spark-admin:video_mesh_api_write";
    /// Creating webhooks for Video Mesh.
    SPARK_ADMIN_VIDEO_MESH_API_WEBHOOK_WRITE = "spark-admin:video_mesh_api_webhook_write";

    /// BroadWorks partners: read access to enterprises.
    SPARK_ADMIN_BROADWORKS_ENTERPRISES_READ = "spark-admin:broadworks_enterprises_read";
    /// BroadWorks partners: changing enterprises.
    SPARK_ADMIN_BROADWORKS_ENTERPRISES_WRITE = "spark-admin:broadworks_enterprises_write";
    /// BroadWorks partners: read access to subscribers.
    SPARK_ADMIN_BROADWORKS_SUBSCRIBERS_READ = "spark-admin:broadworks_subscribers_read";
    /// BroadWorks partners: creating, changing, and removing subscribers.
    SPARK_ADMIN_BROADWORKS_SUBSCRIBERS_WRITE = "spark-admin:broadworks_subscribers_write";
    /// BroadWorks partners: read access to billing reports.
    SPARK_ADMIN_BROADWORKS_BILLING_REPORTS_READ = "spark-admin:broadworks_billing_reports_read";
    /// BroadWorks partners: creating and deleting billing reports.
    SPARK_ADMIN_BROADWORKS_BILLING_REPORTS_WRITE = "spark-admin:broadworks_billing_reports_write";
    /// Wholesale partners: read access to customers.
    SPARK_ADMIN_WHOLESALE_CUSTOMERS_READ = "spark-admin:wholesale_customers_read";
    /// Wholesale partners: creating, changing, and removing customers.
    SPARK_ADMIN_WHOLESALE_CUSTOMERS_WRITE = "spark-admin:wholesale_customers_write";
    /// Wholesale partners: read access to subscribers.
    SPARK_ADMIN_WHOLESALE_SUBSCRIBERS_READ = "spark-admin:wholesale_subscribers_read";
    /// Wholesale partners: creating, changing, and removing subscribers.
    SPARK_ADMIN_WHOLESALE_SUBSCRIBERS_WRITE = "spark-admin:wholesale_subscribers_write";
    /// Wholesale partners: read access to billing reports.
    SPARK_ADMIN_WHOLESALE_BILLING_REPORTS_READ = "spark-admin:wholesale_billing_reports_read";
    /// Wholesale partners: creating and deleting billing reports.
    SPARK_ADMIN_WHOLESALE_BILLING_REPORTS_WRITE = "spark-admin:wholesale_billing_reports_write";
    /// Wholesale partners: read access to sub-partners.
    SPARK_ADMIN_WHOLESALE_SUB_PARTNERS_READ = "spark-admin:wholesale_sub_partners_read";
    /// Wholesale partners: changing sub-partners.
    SPARK_ADMIN_WHOLESALE_SUB_PARTNERS_WRITE = "spark-admin:wholesale_sub_partners_write";
    /// Wholesale partners: creating, changing, and removing workspaces.
    SPARK_ADMIN_WHOLESALE_WORKSPACE_WRITE = "spark-admin:wholesale_workspace_write";

    // Scopes for meetings: those of the platform (`meeting:`), and those of Webex Meetings for the XML
    // API.

    /// Read access to the user's scheduled meetings.
    MEETING_SCHEDULES_READ = "meeting:schedules_read";
    /// Scheduling, changing, and canceling the user's meetings.
    MEETING_SCHEDULES_WRITE = "meeting:schedules_write";
    /// Read access to the recordings of the user's meetings.
    MEETING_RECORDINGS_READ = "meeting:recordings_read";
    /// Changing and deleting the recordings of the user's meetings.
    MEETING_RECORDINGS_WRITE = "meeting:recordings_write";
    /// Read access to the user's meeting preferences.
    MEETING_PREFERENCES_READ = "meeting:preferences_read";
    /// Changing the user's meeting preferences.
    MEETING_PREFERENCES_WRITE = "meeting:preferences_write";
    /// Read access to the state of a meeting in progress, such as recording and lock.
    MEETING_CONTROLS_READ = "meeting:controls_read";
    /// Controlling a meeting in progress, such as recording and lock.
    MEETING_CONTROLS_WRITE = "meeting:controls_write";
    /// Read access to the participants of the user's meetings.
    MEETING_PARTICIPANTS_READ = "meeting:participants_read";
    /// Admitting, muting, and removing participants of the user's meetings.
    MEETING_PARTICIPANTS_WRITE = "meeting:participants_write";
    /// Read access to the transcripts of the user's meetings.
    MEETING_TRANSCRIPTS_READ = "meeting:transcripts_read";
    /// Read access to the summaries of the user's meetings.
    MEETING_SUMMARIES_READ = "meeting:summaries_read";
    /// Changing and deleting the summaries of the user's meetings.
    MEETING_SUMMARIES_WRITE = "meeting:summaries_write";
    /// Administrators: read access to the participants of the organization's meetings.
    MEETING_ADMIN_PARTICIPANTS_READ = "meeting:admin_participants_read";
    /// Administrators: read access to other users' scheduled meetings.
    MEETING_ADMIN_SCHEDULE_READ = "meeting:admin_schedule_read";
    /// Administrators: scheduling, changing, and canceling other users' meetings.
    MEETING_ADMIN_SCHEDULE_WRITE = "meeting:admin_schedule_write";
    /// Administrators: read access to the organization's meeting recordings.
    MEETING_ADMIN_RECORDINGS_READ = "meeting:admin_recordings_read";
    /// Administrators: changing and deleting the organization's meeting recordings.
    MEETING_ADMIN_RECORDINGS_WRITE = "meeting:admin_recordings_write";
    /// Administrators: read access to the organization's meeting transcripts.
    MEETING_ADMIN_TRANSCRIPTS_READ = "meeting:admin_transcripts_read";
    /// Administrators: read access to other users' meeting preferences.
    MEETING_ADMIN_PREFERENCES_READ = "meeting:admin_preferences_read";
    /// Administrators: changing other users' meeting preferences.
    MEETING_ADMIN_PREFERENCES_WRITE = "meeting:admin_preferences_write";
    /// Administrators: read access to the organization's meeting configuration.
    MEETING_ADMIN_CONFIG_READ = "meeting:admin_config_read";
    /// Administrators: changing the organization's meeting configuration.
    MEETING_ADMIN_CONFIG_WRITE = "meeting:admin_config_write";

    /// Webex Meetings: read access to everything the user can see.
    ALL_READ = "all_read";
    /// Webex Meetings: changing user details.
    USER_MODIFY = "user_modify";
    /// Webex Meetings: creating and changing scheduled meetings.
    MEETING_MODIFY = "meeting_modify";
    /// Webex Meetings: changing recordings.
    RECORDING_MODIFY = "recording_modify";
    /// Webex Meetings: changing site settings; for administrators.
    SETTING_MODIFY = "setting_modify";

    // Scopes for compliance officers (`spark-compliance:`), with access to all users of an
    // organization.

    /// Read access to the organization's events: messages, memberships, files, and more.
    SPARK_COMPLIANCE_EVENTS_READ = "spark-compliance:events_read";
    /// Read access to the memberships of all spaces of the organization.
    SPARK_COMPLIANCE_MEMBERSHIPS_READ = "spark-compliance:memberships_read";
    /// Adding and removing members in any space of the organization.
    SPARK_COMPLIANCE_MEMBERSHIPS_WRITE = "spark-compliance:memberships_write";
    /// Read access to all messages of the organization.
    SPARK_COMPLIANCE_MESSAGES_READ = "spark-compliance:messages_read";
    /// Posting and deleting messages in any space of the organization.
    SPARK_COMPLIANCE_MESSAGES_WRITE = "spark-compliance:messages_write";
    /// Read access to all spaces of the organization.
    SPARK_COMPLIANCE_ROOMS_READ = "spark-compliance:rooms_read";
    /// Changing any space of the organization.
    SPARK_COMPLIANCE_ROOMS_WRITE = "spark-compliance:rooms_write";
    /// Read access to all teams of the organization.
    SPARK_COMPLIANCE_TEAMS_READ = "spark-compliance:teams_read";
    /// Read access to the memberships of all teams of the organization.
    SPARK_COMPLIANCE_TEAM_MEMBERSHIPS_READ = "spark-compliance:team_memberships_read";
    /// Changing the memberships of any team of the organization.
    SPARK_COMPLIANCE_TEAM_MEMBERSHIPS_WRITE = "spark-compliance:team_memberships_write";
    /// Read access to organization-wide webhooks.
    SPARK_COMPLIANCE_WEBHOOKS_READ = "spark-compliance:webhooks_read";
    /// Creating, changing, and deleting organization-wide webhooks.
    SPARK_COMPLIANCE_WEBHOOKS_WRITE = "spark-compliance:webhooks_write";
    /// Read access to all recordings of the organization.
    SPARK_COMPLIANCE_RECORDINGS_READ = "spark-compliance:recordings_read";
    /// Changing and deleting any recording of the organization.
    SPARK_COMPLIANCE_RECORDINGS_WRITE = "spark-compliance:recordings_write";
    /// Read access to the archives of all meetings of the organization.
    SPARK_COMPLIANCE_MEETINGS_READ = "spark-compliance:meetings_read";
    /// Deleting the archive of any meeting of the organization.
    SPARK_COMPLIANCE_MEETINGS_WRITE = "spark-compliance:meetings_write";

    // Scopes of the Webex directory (`identity:`, `Identity:`).

    /// Read and write access to users through SCIM.
    IDENTITY_PEOPLE_RW = "identity:people_rw";
    /// Read access to users through SCIM.
    IDENTITY_PEOPLE_READ = "identity:people_read";
    /// Read and write access to groups and their members.
    IDENTITY_GROUPS_RW = "identity:groups_rw";
    /// Read access to groups and their members.
    IDENTITY_GROUPS_READ = "identity:groups_read";
    /// Read and write access to organizations in the directory.
    IDENTITY_ORGANIZATIONS_RW = "identity:organizations_rw";
    /// Read access to organizations in the directory.
    IDENTITY_ORGANIZATIONS_READ = "identity:organizations_read";
    /// Access to the organization in the directory.
    IDENTITY_ORGANIZATION = "identity:organization";
    /// Access to the organization's contacts.
    IDENTITY_CONTACT = "identity:contact";
    /// Read access to the authorizations that users have granted to applications; for
    /// administrators.
    IDENTITY_TOKENS_READ = "identity:tokens_read";
    /// Revoking the authorizations that users have granted to applications; for administrators.
    IDENTITY_TOKENS_WRITE = "identity:tokens_write";
    /// Creating activation codes for the devices of workspaces.
    IDENTITY_PLACEONETIMEPASSWORD_CREATE = "identity:placeonetimepassword_create";
    /// Access to the organization's contacts: a different scope than
    /// [`IDENTITY_CONTACT`](Self::IDENTITY_CONTACT).
    CAPITAL_IDENTITY_CONTACT = "Identity:contact";
    /// Creating one-time passwords for users, and activation codes for the devices of users and
    /// workspaces.
    CAPITAL_IDENTITY_ONE_TIME_PASSWORD = "Identity:one_time_password";
    /// Access to the configuration of the directory, including one-time passwords.
    CAPITAL_IDENTITY_CONFIG = "Identity:Config";
    /// Access to the organization in the directory: a different scope than
    /// [`IDENTITY_ORGANIZATION`](Self::IDENTITY_ORGANIZATION).
    CAPITAL_IDENTITY_ORGANIZATION = "Identity:Organization";
    /// Access to users and groups through SCIM.
    CAPITAL_IDENTITY_SCIM = "Identity:SCIM";

    // Scopes of other products and services: contact center, Vidcast, analytics, applications, and
    // guests.

    /// Contact center: read and write access to the configuration.
    CJP_CONFIG = "cjp:config";
    /// Contact center: read access to the configuration.
    CJP_CONFIG_READ = "cjp:config_read";
    /// Contact center: changing the configuration.
    CJP_CONFIG_WRITE = "cjp:config_write";
    /// Contact center: working as an agent or a supervisor.
    CJP_USER = "cjp:user";
    /// Contact center: read access to tasks, such as calls and chats.
    CJP_TASK_READ = "cjp:task_read";
    /// Contact center: creating and changing tasks.
    CJP_TASK_WRITE = "cjp:task_write";
    /// Contact center: read access to the customer journeys of the organization.
    CJDS_ADMIN_ORG_READ = "cjds:admin_org_read";
    /// Contact center: changing the customer journeys of the organization.
    CJDS_ADMIN_ORG_WRITE = "cjds:admin_org_write";
    /// Contact center: access to conversations. Webex does not document this scope in detail.
    CLOUD_CONTACT_CENTER_POD_CONV = "cloud-contact-center:pod_conv";

    /// Read access to the user's Vidcast recordings.
    VIDCAST_RECORDINGS_READ = "vidcast:recordings_read";
    /// Read access to the user's Vidcast playlists.
    VIDCAST_PLAYLISTS_READ = "vidcast:playlists_read";

    /// Read access to the webhooks of an application.
    APPLICATION_WEBHOOKS_READ = "application:webhooks_read";
    /// Creating, changing, and deleting the webhooks of an application.
    APPLICATION_WEBHOOKS_WRITE = "application:webhooks_write";

    /// Read access to the number of guests of a Service App.
    GUEST_ISSUER_READ = "guest-issuer:read";
    /// Creating guests of a Service App and their tokens.
    GUEST_ISSUER_WRITE = "guest-issuer:write";

    /// Read access to analytics, and creating and reading reports; for administrators.
    ANALYTICS_READ_ALL = "analytics:read_all";
    /// Read access to the audit log of administrator actions.
    AUDIT_EVENTS_READ = "audit:events_read";

    /// Read access to the performance counters of a dedicated instance of Webex Calling; for
    /// administrators.
    WXC_DEDICATEDUC_ADMIN_PERFMON_READ = "wxc-dedicateduc:admin_perfmon_read";
    /// Access for Cisco's own clients; not available to integrations.
    WEBEXSQUARE_ADMIN = "webexsquare:admin";
}

#[cfg(feature = "testing")]
impl Scope {
    /// Returns a short description for users, if the scope is one of the constants: the first
    /// sentence of its documentation.
    pub(crate) fn summary(&self) -> Option<String> {
        let (_, text) = DESCRIBED.iter().find(|(name, _)| *name == self.as_str())?;
        let sentence = text.trim().split(". ").next().unwrap_or_default().trim_end_matches('.');
        // A remark with a link to another constant is for developers.
        let remark = sentence.split_once('[').and_then(|(before, _)| before.rsplit_once(": "));
        Some(remark.map_or(sentence, |(before, _)| before).replace('`', ""))
    }
}
