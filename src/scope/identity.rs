//! The scopes of Webex's directory (`identity:`, `Identity:`).

use super::Scope;

scopes! {
    /// Reading and changing users by SCIM.
    IDENTITY_PEOPLE_RW = "identity:people_rw";
    /// Reading users by SCIM.
    IDENTITY_PEOPLE_READ = "identity:people_read";
    /// Reading and changing groups and who is in them.
    IDENTITY_GROUPS_RW = "identity:groups_rw";
    /// Reading groups and who is in them.
    IDENTITY_GROUPS_READ = "identity:groups_read";
    /// Reading and changing organizations in the directory.
    IDENTITY_ORGANIZATIONS_RW = "identity:organizations_rw";
    /// Reading organizations in the directory.
    IDENTITY_ORGANIZATIONS_READ = "identity:organizations_read";
    /// The organization in the directory.
    IDENTITY_ORGANIZATION = "identity:organization";
    /// The organization's contacts.
    IDENTITY_CONTACT = "identity:contact";
    /// Reading which tokens users have given to which applications; for administrators.
    IDENTITY_TOKENS_READ = "identity:tokens_read";
    /// Revoking tokens that users have given to applications; for administrators.
    IDENTITY_TOKENS_WRITE = "identity:tokens_write";
    /// Creating activation codes for the devices of workspaces.
    IDENTITY_PLACEONETIMEPASSWORD_CREATE = "identity:placeonetimepassword_create";
    /// The organization's contacts, spelled with a capital: to Webex it is another scope than
    /// [`IDENTITY_CONTACT`](Self::IDENTITY_CONTACT).
    CAPITAL_IDENTITY_CONTACT = "Identity:contact";
    /// Creating one-time passwords for users, and activation codes for the devices of users and workspaces.
    CAPITAL_IDENTITY_ONE_TIME_PASSWORD = "Identity:one_time_password";
    /// The configuration of the directory, one-time passwords included.
    CAPITAL_IDENTITY_CONFIG = "Identity:Config";
    /// The organization in the directory, spelled with capitals: to Webex it is another scope than
    /// [`IDENTITY_ORGANIZATION`](Self::IDENTITY_ORGANIZATION).
    CAPITAL_IDENTITY_ORGANIZATION = "Identity:Organization";
    /// Users and groups by SCIM.
    CAPITAL_IDENTITY_SCIM = "Identity:SCIM";
}
