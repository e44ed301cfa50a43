//! The scopes of compliance officers (`spark-compliance:`), who see what all users of an organization do.

use super::Scope;

scopes! {
    /// Reading what happened in the organization: messages, memberships, files and more, as events.
    SPARK_COMPLIANCE_EVENTS_READ = "spark-compliance:events_read";
    /// Reading who is in any space of the organization.
    SPARK_COMPLIANCE_MEMBERSHIPS_READ = "spark-compliance:memberships_read";
    /// Adding people to any space of the organization and removing them.
    SPARK_COMPLIANCE_MEMBERSHIPS_WRITE = "spark-compliance:memberships_write";
    /// Reading all messages of the organization.
    SPARK_COMPLIANCE_MESSAGES_READ = "spark-compliance:messages_read";
    /// Posting to any space of the organization, and deleting any message in it.
    SPARK_COMPLIANCE_MESSAGES_WRITE = "spark-compliance:messages_write";
    /// Reading all spaces of the organization.
    SPARK_COMPLIANCE_ROOMS_READ = "spark-compliance:rooms_read";
    /// Changing any space of the organization.
    SPARK_COMPLIANCE_ROOMS_WRITE = "spark-compliance:rooms_write";
    /// Reading all teams of the organization.
    SPARK_COMPLIANCE_TEAMS_READ = "spark-compliance:teams_read";
    /// Reading who is in any team of the organization.
    SPARK_COMPLIANCE_TEAM_MEMBERSHIPS_READ = "spark-compliance:team_memberships_read";
    /// Changing who is in any team of the organization.
    SPARK_COMPLIANCE_TEAM_MEMBERSHIPS_WRITE = "spark-compliance:team_memberships_write";
    /// Reading webhooks for the events of the whole organization.
    SPARK_COMPLIANCE_WEBHOOKS_READ = "spark-compliance:webhooks_read";
    /// Creating, changing and deleting webhooks for the events of the whole organization.
    SPARK_COMPLIANCE_WEBHOOKS_WRITE = "spark-compliance:webhooks_write";
    /// Reading all recordings of the organization.
    SPARK_COMPLIANCE_RECORDINGS_READ = "spark-compliance:recordings_read";
    /// Changing and deleting any recording of the organization.
    SPARK_COMPLIANCE_RECORDINGS_WRITE = "spark-compliance:recordings_write";
    /// Reading what is kept of all meetings of the organization.
    SPARK_COMPLIANCE_MEETINGS_READ = "spark-compliance:meetings_read";
    /// Deleting what is kept of any meeting of the organization.
    SPARK_COMPLIANCE_MEETINGS_WRITE = "spark-compliance:meetings_write";
}
