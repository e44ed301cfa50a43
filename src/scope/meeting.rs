//! Scopes for meetings: those of the platform (`meeting:`), and those of Webex Meetings for the XML
//! API.

use super::Scope;

scopes! {
    /// Read access to the user's scheduled meetings.
    MEETING_SCHEDULES_READ = "meeting:schedules_read";
    /// Scheduling, changing, and canceling the user's meetings.
    MEETING_SCHEDULES_WRITE = "meeting:schedules_write";
    /// Read access to the recordings of the user's meetings.
    MEETING_RECORDINGS_READ = "meeting:recordings_read";
    /// Changing and deleting the recordings of the user's meetings.
    MEETING_RECORDINGS_WRITE = "meeting:recordings_write";
    /// Read access to the user's meeting preferences.
    MEETING_PREFERENCES_READ = "meeting:preferences_read";
    /// Changing the user's meeting preferences.
    MEETING_PREFERENCES_WRITE = "meeting:preferences_write";
    /// Read access to the state of a meeting in progress, such as recording and lock.
    MEETING_CONTROLS_READ = "meeting:controls_read";
    /// Controlling a meeting in progress, such as recording and lock.
    MEETING_CONTROLS_WRITE = "meeting:controls_write";
    /// Read access to the participants of the user's meetings.
    MEETING_PARTICIPANTS_READ = "meeting:participants_read";
    /// Admitting, muting, and removing participants of the user's meetings.
    MEETING_PARTICIPANTS_WRITE = "meeting:participants_write";
    /// Read access to the transcripts of the user's meetings.
    MEETING_TRANSCRIPTS_READ = "meeting:transcripts_read";
    /// Read access to the summaries of the user's meetings.
    MEETING_SUMMARIES_READ = "meeting:summaries_read";
    /// Changing and deleting the summaries of the user's meetings.
    MEETING_SUMMARIES_WRITE = "meeting:summaries_write";
    /// Administrators: read access to the participants of the organization's meetings.
    MEETING_ADMIN_PARTICIPANTS_READ = "meeting:admin_participants_read";
    /// Administrators: read access to other users' scheduled meetings.
    MEETING_ADMIN_SCHEDULE_READ = "meeting:admin_schedule_read";
    /// Administrators: scheduling, changing, and canceling other users' meetings.
    MEETING_ADMIN_SCHEDULE_WRITE = "meeting:admin_schedule_write";
    /// Administrators: read access to the organization's meeting recordings.
    MEETING_ADMIN_RECORDINGS_READ = "meeting:admin_recordings_read";
    /// Administrators: changing and deleting the organization's meeting recordings.
    MEETING_ADMIN_RECORDINGS_WRITE = "meeting:admin_recordings_write";
    /// Administrators: read access to the organization's meeting transcripts.
    MEETING_ADMIN_TRANSCRIPTS_READ = "meeting:admin_transcripts_read";
    /// Administrators: read access to other users' meeting preferences.
    MEETING_ADMIN_PREFERENCES_READ = "meeting:admin_preferences_read";
    /// Administrators: changing other users' meeting preferences.
    MEETING_ADMIN_PREFERENCES_WRITE = "meeting:admin_preferences_write";
    /// Administrators: read access to the organization's meeting configuration.
    MEETING_ADMIN_CONFIG_READ = "meeting:admin_config_read";
    /// Administrators: changing the organization's meeting configuration.
    MEETING_ADMIN_CONFIG_WRITE = "meeting:admin_config_write";

    /// Webex Meetings: read access to everything the user can see.
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
