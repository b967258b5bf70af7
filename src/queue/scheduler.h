/*
 * scheduler - owns every spooled message: when it is due, where it goes, what a result means (DESIGN 2.5)
 */
#ifndef MXGATE_QUEUE_SCHEDULER_H
#define MXGATE_QUEUE_SCHEDULER_H

struct scheduler;

#endif
