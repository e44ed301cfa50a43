//! The scopes of products and services beside the Webex app: the contact center, Vidcast, analytics, apps, guests.

use super::Scope;

scopes! {
    /// Contact center: reading and changing the configuration.
    CJP_CONFIG = "cjp:config";
    /// Contact center: reading the configuration.
    CJP_CONFIG_READ = "cjp:config_read";
    /// Contact center: changing the configuration.
    CJP_CONFIG_WRITE = "cjp:config_write";
    /// Contact center: working as an agent or a supervisor.
    CJP_USER = "cjp:user";
    /// Contact center: reading tasks, such as calls and chats.
    CJP_TASK_READ = "cjp:task_read";
    /// Contact center: creating and changing tasks.
    CJP_TASK_WRITE = "cjp:task_write";
    /// Contact center: reading the customer journeys of the organization.
    CJDS_ADMIN_ORG_READ = "cjds:admin_org_read";
    /// Contact center: changing the customer journeys of the organization.
    CJDS_ADMIN_ORG_WRITE = "cjds:admin_org_write";
    /// Contact center: conversations. Webex does not describe it further.
    CLOUD_CONTACT_CENTER_POD_CONV = "cloud-contact-center:pod_conv";

    /// Reading the user's Vidcast recordings.
    VIDCAST_RECORDINGS_READ = "vidcast:recordings_read";
    /// Reading the user's Vidcast playlists.
    VIDCAST_PLAYLISTS_READ = "vidcast:playlists_read";

    /// Reading the webhooks of an application.
    APPLICATION_WEBHOOKS_READ = "application:webhooks_read";
    /// Creating, changing and deleting the webhooks of an application.
    APPLICATION_WEBHOOKS_WRITE = "application:webhooks_write";

    /// Counting the guests of a service app.
    GUEST_ISSUER_READ = "guest-issuer:read";
    /// Creating guests of a service app, and their tokens.
    GUEST_ISSUER_WRITE = "guest-issuer:write";

    /// Reading analytics, and creating and reading reports; for administrators.
    ANALYTICS_READ_ALL = "analytics:read_all";
    /// Reading what administrators did.
    AUDIT_EVENTS_READ = "audit:events_read";

    /// Reading the performance counters of a dedicated instance of Webex Calling; for administrators.
    WXC_DEDICATEDUC_ADMIN_PERFMON_READ = "wxc-dedicateduc:admin_perfmon_read";
    /// Cisco's own clients; not given to integrations.
    WEBEXSQUARE_ADMIN = "webexsquare:admin";
}
