"""How far down a begin has to look for numbers that have no row.

A begin notes the gaps between the floor and the ceiling of the lease before, under the row's lock,
and after a loss of memory every busy chat begins at once. So the floor follows the numbers that are
stored: with each raise, a range of a few windows is counted, and where it is whole the floor moves
up. A chat of a million messages then begins as fast as a new one.
"""

from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.rows import LockedApplication, LockedChat

# A gap that stays open so long is left to the next begin, so that raising stays cheap.
MAX_WINDOWS = 8

COUNT_CHATS = """
SELECT COUNT(*) FROM chats WHERE application_id = %s AND number > %s AND number <= %s
"""
COUNT_MESSAGES = """
SELECT COUNT(*) FROM messages WHERE chat_id = %s AND number > %s AND number <= %s
"""


def follow_messages(cursor: Cursor, chat: LockedChat, window: int) -> None:
    """Move the floor of a chat up to a window below its last message, if nothing is missing."""
    top = chat.last_message_number - window
    if _whole(cursor, COUNT_MESSAGES, chat.id, chat.messages_floor, top, window):
        chat.messages_floor = top


def follow_chats(cursor: Cursor, application: LockedApplication, last: int, window: int) -> None:
    """The same for an application, whose chats go up to `last`."""
    top = last - window
    if _whole(cursor, COUNT_CHATS, application.id, application.chats_floor, top, window):
        application.chats_floor = top


def _whole(cursor: Cursor, sql: str, parent_id: int, floor: int, top: int, window: int) -> bool:
    """Whether every number above `floor`, up to `top`, has a row; False where it costs too much."""
    if not 0 < top - floor <= MAX_WINDOWS * window:
        return False
    cursor.execute(sql, (parent_id, floor, top))
    return bool(cursor.fetchall() == ((top - floor,),))
