"""The store as the writer has it open. If its file is lost, it is opened again once it is back."""

from __future__ import annotations

import logging

import apsw

from toril.engine.sqlite.storage.connection import MEMORY, connect
from toril.engine.sqlite.storage.errors import translate_open
from toril.engine.sqlite.storage.store_files import StoreFiles, opening
from toril.errors import EngineError, StoreUnavailableError

_logger = logging.getLogger("toril.engine")


class Store:
    """A connection and the files behind it, for one thread.

    Attributes:
        files: The open files; None if everything is in memory.
    """

    def __init__(self, path: str) -> None:
        """Prepare. Nothing is opened yet.

        Args:
            path: The file, or MEMORY.
        """
        self._path = path
        self._connection: apsw.Connection | None = None
        self.files: StoreFiles | None = None

    def open(self, *, create: bool) -> apsw.Connection:
        """Open the store and return the connection; see `connect`."""
        with opening():
            connection = connect(self._path, create=create)
            if self._path != MEMORY:
                try:
                    self.files = StoreFiles(self._path, connection.filename_wal)
                except OSError as error:
                    connection.close()
                    raise translate_open(error, self._path) from error
        self._connection = connection
        return connection

    def connection(self) -> apsw.Connection:
        """Return the connection, after a look at the files now and then.

        Raises:
            EngineError: The file was lost and is not back yet.
        """
        if self._connection is not None and self.files is not None:
            try:
                self.files.verify_soon()
            except StoreUnavailableError as error:
                _logger.error("%s", error)  # noqa: TRY400 - no traceback: not a bug in Toril
                self._abandon(self._connection)
        return self._open_again() if self._connection is None else self._connection

    def _open_again(self) -> apsw.Connection:
        before = self.files
        if before is not None:
            before.may_be_followed_by(self._path)
        connection = self.open(create=False)
        if before is not None:
            before.close()
            _logger.warning("%s: the store is open again", self._path)
        return connection

    def _abandon(self, connection: apsw.Connection) -> None:
        """Close a connection to lost files, without touching those that are there now.

        The lost files stay open until others follow, so that no new file gets their inodes. If
        only the log was removed, what it holds is saved: accepted jobs are in it.
        """
        if self.files is not None:
            with self.files.while_nobody_opens() as only_the_log:
                if only_the_log:
                    _save_log(connection, self._path)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self._close_connection(connection)

    def _close_connection(self, connection: apsw.Connection) -> None:
        self._connection = None
        if self.files is not None:
            self.files.unlock()
        connection.close()

    def close(self) -> None:
        """Close everything."""
        connection = self._connection
        if connection is not None and self._is_lost():
            self._abandon(connection)
        elif connection is not None:
            self._close_connection(connection)
        if self.files is not None:
            self.files.close()
            self.files = None

    def _is_lost(self) -> bool:
        try:
            if self.files is not None:
                self.files.verify()
        except EngineError:
            return True
        return False


def _save_log(connection: apsw.Connection, path: str) -> None:
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.Error as error:
        _logger.error("%s: what was in its log is lost: %s", path, error)  # noqa: TRY400
