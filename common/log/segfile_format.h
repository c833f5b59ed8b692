/* SPDX-License-Identifier: Apache-2.0 */
/* Constants of the segment file format that only this folder needs. */
#ifndef SLUICE_LOG_SEGFILE_FORMAT_H
#define SLUICE_LOG_SEGFILE_FORMAT_H

#define SEGFILE_MAGIC    0x534c5346u /* "SLSF" */
#define SEGFILE_VERSION  1
#define SEGFRAME_VERSION 1
#define SEGFRAME_ALIGN   8u
#define DISK_SECTOR_SIZE 512u /* the smallest piece that a disk writes or loses as a whole */

#endif
