//! Scopes for administrators (`spark-admin:`).

use super::Scope;

scopes! {
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
}
