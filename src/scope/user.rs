//! Scopes for every user: those of Login with Webex, and those of the APIs (`spark:`).

use super::Scope;

scopes! {
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
}
