//! Scopes for compliance officers (`spark-compliance:`), with access to all users of an
//! organization.

use super::Scope;

scopes! {
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
}
