//! The scopes of a person who logs in: those of Login with Webex, and what the person may do (`spark:`).

use super::Scope;

scopes! {
    /// Login with Webex: asks for an ID token. The five scopes of Login with Webex need no registration.
    OPENID = "openid";
    /// Login with Webex: the e-mail address, too.
    EMAIL = "email";
    /// Login with Webex: names and locale, too.
    PROFILE = "profile";
    /// Login with Webex: the phone number, too.
    PHONE = "phone";
    /// Login with Webex: the postal address, too.
    ADDRESS = "address";

    /// Everything that a user can do: all user-level `spark:` scopes. It covers neither a request for one of them by
    /// name nor the scopes of administrators, compliance officers and meetings.
    SPARK_ALL = "spark:all";
    /// The keys of encrypted content, which may come back empty without it. Webex adds it to most integrations by itself.
    SPARK_KMS = "spark:kms";
    /// Reading people, the logged-in person among them.
    SPARK_PEOPLE_READ = "spark:people_read";
    /// Changing the logged-in person's own details.
    SPARK_PEOPLE_WRITE = "spark:people_write";
    /// Reading the spaces that the user is in.
    SPARK_ROOMS_READ = "spark:rooms_read";
    /// Creating, changing and deleting spaces.
    SPARK_ROOMS_WRITE = "spark:rooms_write";
    /// Reading who is in the user's spaces.
    SPARK_MEMBERSHIPS_READ = "spark:memberships_read";
    /// Inviting people to spaces and removing them.
    SPARK_MEMBERSHIPS_WRITE = "spark:memberships_write";
    /// Reading the messages of the user's spaces.
    SPARK_MESSAGES_READ = "spark:messages_read";
    /// Posting and deleting messages as the user.
    SPARK_MESSAGES_WRITE = "spark:messages_write";
    /// Reading the teams that the user is in.
    SPARK_TEAMS_READ = "spark:teams_read";
    /// Creating, changing and deleting teams.
    SPARK_TEAMS_WRITE = "spark:teams_write";
    /// Reading who is in the user's teams.
    SPARK_TEAM_MEMBERSHIPS_READ = "spark:team_memberships_read";
    /// Inviting people to teams and removing them.
    SPARK_TEAM_MEMBERSHIPS_WRITE = "spark:team_memberships_write";
    /// Reading webhooks.
    SPARK_WEBHOOKS_READ = "spark:webhooks_read";
    /// Creating, changing and deleting webhooks.
    SPARK_WEBHOOKS_WRITE = "spark:webhooks_write";
    /// Reading the user's calls and their history.
    SPARK_CALLS_READ = "spark:calls_read";
    /// Making and controlling calls as the user.
    SPARK_CALLS_WRITE = "spark:calls_write";
    /// Reading the user's devices.
    SPARK_DEVICES_READ = "spark:devices_read";
    /// Changing and deleting the user's devices.
    SPARK_DEVICES_WRITE = "spark:devices_write";
    /// Reading the places that the user manages.
    SPARK_PLACES_READ = "spark:places_read";
    /// Changing the places that the user manages.
    SPARK_PLACES_WRITE = "spark:places_write";
    /// Reading the state of RoomOS devices by their xAPI.
    SPARK_XAPI_STATUSES = "spark:xapi_statuses";
    /// Sending commands to RoomOS devices by their xAPI.
    SPARK_XAPI_COMMANDS = "spark:xapi_commands";
    /// Reading the user's recordings of calls and meetings.
    SPARK_RECORDINGS_READ = "spark:recordings_read";
    /// Changing and deleting the user's recordings of calls and meetings.
    SPARK_RECORDINGS_WRITE = "spark:recordings_write";
    /// Reading the user's own settings of Webex Calling.
    SPARK_TELEPHONY_CONFIG_READ = "spark:telephony_config_read";
    /// Changing the user's own settings of Webex Calling.
    SPARK_TELEPHONY_CONFIG_WRITE = "spark:telephony_config_write";
    /// Reading the user's organization.
    SPARK_ORGANIZATIONS_READ = "spark:organizations_read";
    /// Calling by BroadWorks' Xtended Services Interface (XSI) as the user.
    SPARK_XSI = "spark:xsi";
    /// Calling from a browser (WebRTC).
    SPARK_WEBRTC_CALLING = "spark:webrtc_calling";
    /// Fetching the tokens of service apps.
    SPARK_APPLICATIONS_TOKEN = "spark:applications_token";
    /// Using the MCP servers that Webex hosts.
    SPARK_MCP = "spark:mcp";
}
