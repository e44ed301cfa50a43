//! Scopes of the Webex directory (`identity:`, `Identity:`).

use super::Scope;

scopes! {
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
}
