//! The scopes of meetings: Webex's own (`meeting:`), and those of Webex Meetings integrations for the XML API.

use super::Scope;

scopes! {
    /// Reading the user's scheduled meetings.
    MEETING_SCHEDULES_READ = "meeting:schedules_read";
    /// Scheduling, changing and cancelling the user's meetings.
    MEETING_SCHEDULES_WRITE = "meeting:schedules_write";
    /// Reading the recordings of the user's meetings.
    MEETING_RECORDINGS_READ = "meeting:recordings_read";
    /// Changing and deleting the recordings of the user's meetings.
    MEETING_RECORDINGS_WRITE = "meeting:recordings_write";
    /// Reading the user's preferences for meetings.
    MEETING_PREFERENCES_READ = "meeting:preferences_read";
    /// Changing the user's preferences for meetings.
    MEETING_PREFERENCES_WRITE = "meeting:preferences_write";
    /// Reading the state of a running meeting: whether it is recorded or locked.
    MEETING_CONTROLS_READ = "meeting:controls_read";
    /// Controlling a running meeting: recording it, locking it.
    MEETING_CONTROLS_WRITE = "meeting:controls_write";
    /// Reading who takes part in the user's meetings.
    MEETING_PARTICIPANTS_READ = "meeting:participants_read";
    /// Admitting, muting and removing participants of the user's meetings.
    MEETING_PARTICIPANTS_WRITE = "meeting:participants_write";
    /// Reading the transcripts of the user's meetings.
    MEETING_TRANSCRIPTS_READ = "meeting:transcripts_read";
    /// Reading the summaries of the user's meetings.
    MEETING_SUMMARIES_READ = "meeting:summaries_read";
    /// Changing and deleting the summaries of the user's meetings.
    MEETING_SUMMARIES_WRITE = "meeting:summaries_write";
    /// Administrators: reading who takes part in the organization's meetings.
    MEETING_ADMIN_PARTICIPANTS_READ = "meeting:admin_participants_read";
    /// Administrators: reading other users' scheduled meetings.
    MEETING_ADMIN_SCHEDULE_READ = "meeting:admin_schedule_read";
    /// Administrators: scheduling, changing and cancelling other users' meetings.
    MEETING_ADMIN_SCHEDULE_WRITE = "meeting:admin_schedule_write";
    /// Administrators: reading the organization's recordings of meetings.
    MEETING_ADMIN_RECORDINGS_READ = "meeting:admin_recordings_read";
    /// Administrators: changing and deleting the organization's recordings of meetings.
    MEETING_ADMIN_RECORDINGS_WRITE = "meeting:admin_recordings_write";
    /// Administrators: reading the organization's transcripts of meetings.
    MEETING_ADMIN_TRANSCRIPTS_READ = "meeting:admin_transcripts_read";
    /// Administrators: reading other users' preferences for meetings.
    MEETING_ADMIN_PREFERENCES_READ = "meeting:admin_preferences_read";
    /// Administrators: changing other users' preferences for meetings.
    MEETING_ADMIN_PREFERENCES_WRITE = "meeting:admin_preferences_write";
    /// Administrators: reading the configuration of the organization's meetings.
    MEETING_ADMIN_CONFIG_READ = "meeting:admin_config_read";
    /// Administrators: changing the configuration of the organization's meetings.
    MEETING_ADMIN_CONFIG_WRITE = "meeting:admin_config_write";

    /// Webex Meetings: reading everything that the user can see.
    ALL_READ = "all_read";
    /// Webex Meetings: changing user details.
    USER_MODIFY = "user_modify";
    /// Webex Meetings: creating and changing scheduled meetings.
    MEETING_MODIFY = "meeting_modify";
    /// Webex Meetings: changing recordings.
    RECORDING_MODIFY = "recording_modify";
    /// Webex Meetings: changing site settings; for administrators.
    SETTING_MODIFY = "setting_modify";
}
