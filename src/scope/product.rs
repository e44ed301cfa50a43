//! Scopes of other products and services: contact center, Vidcast, analytics, applications, and
//! guests.

use super::Scope;

scopes! {
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
